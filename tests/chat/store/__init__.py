"""Tests of chat/store/, file by file."""
