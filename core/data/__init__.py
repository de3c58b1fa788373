"""Structures without I/O: hash, ring, memory that forked workers share."""
from hotpath.core.data import murmur, shared
from hotpath.core.data.ring import Ring

__all__ = ["Ring", "murmur", "shared"]
