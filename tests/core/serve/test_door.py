"""Whose page is ours: is the origin one that this server was asked for by?"""
from __future__ import annotations

import pytest

from hotpath.core.serve.door import is_loopback, is_ours


@pytest.mark.parametrize(("origin", "host", "is_open", "ours"), [
    ("http://localhost:8320", "localhost:8320", True, True),
    ("http://a.localhost", "a.localhost", True, True),
    ("http://[::1]:8320", "[::1]:8320", True, True),
    ("http://127.1.2.3:1", "127.1.2.3:1", True, True),
    ("HTTP://LOCALHOST:1", "localhost:1", True, True),
    ("http://shards.example", "shards.example", True, False),
    ("http://shards.example", "shards.example", False, True),
    ("https://shards.example", "shards.example:443", False, False),
    ("ftp://localhost", "localhost", True, False),
    ("http://", "", False, False),
    ("null", "null", False, False),
    ("http://localhost", "", True, False),
])
def test_ours_is_what_has_our_name(origin, host, is_open, ours):
    assert is_ours(origin, host, is_open=is_open) is ours


@pytest.mark.parametrize(("name", "is_"), [
    ("localhost", True), ("127.0.0.1", True), ("::1", True), ("localhost.evil.example", False), ("10.0.0.1", False),
    ("evillocalhost", False), ("", False)])
def test_loopback(name, is_):
    assert is_loopback(name) is is_
