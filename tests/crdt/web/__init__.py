"""Tests of crdt/web."""
