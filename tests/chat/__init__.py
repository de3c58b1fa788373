"""Tests of chat/, file by file."""
