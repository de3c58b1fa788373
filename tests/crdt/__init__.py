"""Tests of crdt/, file by file."""
