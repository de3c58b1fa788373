from __future__ import annotations

from pathlib import Path

import pytest

from hotpath.core.serve.testing import Served
from tests.clients import Client, fetch

ALL = bytes(range(256)) * 16384


def test_a_file_is_sent_whole_with_its_type_and_tag(served: Served):
    answer = fetch(served.address, "/static/a.txt")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.value("content-type") == "text/plain; charset=utf-8"
    assert (answer.value("etag") or "").startswith('"')
    assert answer.value("accept-ranges") == "bytes"


def test_a_large_file_is_sent_whole_and_the_connection_goes_on(served: Served):
    with Client(served.address) as client:
        assert client.ask("GET", "/static/big.bin").body == ALL
        assert client.ask("GET", "/static/big.bin").body == ALL


def test_head_of_a_file(served: Served):
    answer = fetch(served.address, "/static/big.bin", "HEAD")
    assert (answer.status, answer.value("content-length"), answer.body) == (200, str(len(ALL)), b"")


@pytest.mark.parametrize(("asked", "status", "body", "said"), [
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=8-", 206, b"89", "bytes 8-9/10"),
    ("bytes=1-2,4-5", 200, b"0123456789", None),
    ("bytes=20-", 416, None, "bytes */10"),
    ("bytes=9-99999999999999999", 206, b"9", "bytes 9-9/10"),
    ("bytes=-999999999999999999", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=999999999999999999-", 416, None, "bytes */10"),
    ("bytes=-0", 416, None, "bytes */10"),
    ("bytes=5-2", 200, b"0123456789", None),
    ("bytes=--5", 200, b"0123456789", None),
    ("bytes=99999999999999999999999-", 200, b"0123456789", None),
])
def test_ranges(served: Served, asked: str, status: int, body: bytes | None, said: str | None):
    answer = fetch(served.address, "/static/a.txt", fields=[("Range", asked)])
    assert (answer.status, answer.value("content-range")) == (status, said)
    assert body is None or answer.body == body


def test_a_copy_that_is_fresh_is_not_sent_again(served: Served):
    first = fetch(served.address, "/static/a.txt")
    tag, modified = first.value("etag") or "", first.value("last-modified") or ""
    for fields in ([("If-None-Match", tag)], [("If-Modified-Since", modified)]):
        answer = fetch(served.address, "/static/a.txt", fields=fields)
        assert (answer.status, answer.body, answer.value("etag")) == (304, b"", tag)
    assert fetch(served.address, "/static/a.txt", fields=[("If-None-Match", '"old"')]).status == 200
    assert fetch(served.address, "/static/a.txt", fields=[("Range", "bytes=0-1"), ("If-Range", '"old"')]).status == 200
    assert fetch(served.address, "/static/a.txt", fields=[("Range", "bytes=0-1"), ("If-Range", tag)]).status == 206


@pytest.mark.parametrize("path", [
    "/static/../outside.txt", "/static/%2e%2e/outside.txt", "/static/..%2foutside.txt", "/static/.secret",
    "/static/absent",    "/static/a.txt/", "/static//a.txt/..",
])
def test_nothing_else_is_to_be_had(served: Served, path: str):
    assert fetch(served.address, path).status == 404


def test_a_folder_shows_its_index_and_is_spelled_with_a_slash(served: Served):
    assert fetch(served.address, "/static/").body == b"<p>index"
    assert fetch(served.address, "/static/sub/").body == b"<p>sub"
    answer = fetch(served.address, "/static/sub?x=1")
    assert (answer.status, answer.value("location")) == (301, "/static/sub/?x=1")


def test_a_link_that_leads_outside_is_not_followed_and_one_inside_is(served: Served, folder: Path):
    (folder / "out").symlink_to(folder.parent / "outside.txt")
    (folder / "out-folder").symlink_to(folder.parent)
    (folder / "in").symlink_to(folder / "a.txt")
    assert fetch(served.address, "/static/out").status == 404
    assert fetch(served.address, "/static/out-folder/outside.txt").status == 404
    assert fetch(served.address, "/static/out-folder").status == 404
    assert fetch(served.address, "/static/in").body == b"0123456789"
