"""Tests of shard/, file by file."""
