"""Tests of shard/rows/, file by file."""
