"""Tests of chat/api/, file by file; most of them ask a real server process, on each engine."""
