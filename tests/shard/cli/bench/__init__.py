"""Tests of shard/cli/bench/, file by file."""
