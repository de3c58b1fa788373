"""Tests of shard/cli/, file by file."""
