"""Bytes to events and back: HTTP/1.1. No file descriptor, no clock."""
