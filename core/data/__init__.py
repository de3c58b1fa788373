"""Structures without I/O: hash, ring, memory that forked workers share."""
