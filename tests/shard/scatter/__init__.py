"""Tests of shard/scatter/, file by file."""
