"""Files from a folder: whole, in part, or not at all when they lie outside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import Answer, Client, fetch
from tests.proxies import Proxy

DATA = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("static")
    (folder / "secret.txt").write_text("secret")
    root = folder / "root"
    (root / "sub").mkdir(parents=True)
    (root / "bare").mkdir()
    (root / "index.html").write_text("<p>root</p>")
    (root / "sub" / "index.html").write_text("<p>sub</p>")
    (root / "app.html").write_text("<p>app</p>")
    (root / "data.bin").write_bytes(DATA)
    (root / "empty.txt").write_bytes(b"")
    (root / "a b.txt").write_text("spaced")
    config = {
        "routes": [
            {"match": {"host": "plain"}, "static": {"root": str(root)}},
            {"match": {"prefix": "/f"}, "strip_prefix": "/f", "static": {"root": str(root)}},
            {
                "match": {"prefix": "/app"},
                "strip_prefix": "/app",
                "static": {"root": str(root), "fallback": "app.html"},
            },
            {
                "match": {"prefix": "/edited"},
                "strip_prefix": "/edited",
                "static": {"root": str(root)},
                "response_headers": {
                    "set": {"Content-Type": "text/x", "date": "theirs"}, "remove": ["etag", "Last-Modified"]},
            },
        ]
    }
    with Proxy(config) as proxy:
        proxy.config["root"] = str(root)
        yield proxy


def ask(site: Proxy, target: str, method: str = "GET", **fields: str) -> Answer:
    return fetch(site.address, target, method, [(name.replace("_", "-"), value) for name, value in fields.items()])


def test_a_file_is_sent_whole_with_what_a_cache_needs(site: Proxy) -> None:
    answer = ask(site, "/f/data.bin")
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.value("content-length") == str(len(DATA))
    assert (answer.value("etag") or "").endswith('"')
    assert answer.value("accept-ranges") == "bytes"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/f/", b"<p>root</p>"),
        ("/f/index.html", b"<p>root</p>"),
        ("/f/sub/", b"<p>sub</p>"),
        ("/f/a%20b.txt", b"spaced"),
        ("/f/sub/../index.html", b"<p>root</p>"),
        ("/f/index.html?v=2", b"<p>root</p>"),
        ("/f/empty.txt", b""),
        ("/app/deep/link", b"<p>app</p>"),
        ("/app/index.html", b"<p>root</p>"),
    ],
)
def test_paths_find_files(site: Proxy, target: str, body: bytes) -> None:
    answer = ask(site, target)
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(("target", "kind"), [("/f/index.html", "text/html"), ("/f/a%20b.txt", "text/plain")])
def test_the_type_follows_the_name(site: Proxy, target: str, kind: str) -> None:
    assert (ask(site, target).value("content-type") or "").partition(";")[0] == kind


def test_a_folder_without_its_slash_leads_to_the_one_with(site: Proxy) -> None:
    answer = ask(site, "/f/sub")
    assert answer.status in (200, 301, 302, 307, 308)
    if answer.status != 200:
        assert (answer.value("location") or "").endswith("/f/sub/")


def test_a_folder_never_leads_to_another_host(site: Proxy) -> None:
    assert fetch(site.address, "//sub", host="plain").value("location") == "/sub/"


@pytest.mark.parametrize(
    "target", ["/f/none", "/f/bare/", "/f/sub/none.html", "/f/index.html/", "/f/index.html/x", "/f/INDEX.html"]
)
def test_what_is_not_there_is_404(site: Proxy, target: str) -> None:
    answer = ask(site, target)
    assert (answer.status, answer.value("content-type")) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "target",
    [
        "/f/../secret.txt",
        "/f/%2e%2e/secret.txt",
        "/f/sub/../../secret.txt",
        "/f/..%2fsecret.txt",
        "/f/sub/..%2f..%2fsecret.txt",
        "/f/.%2e/secret.txt",
        "/f/..%5csecret.txt",
        "/f//../secret.txt",
        "/f/....//secret.txt",
        "/f/%252e%252e/secret.txt",
        "/f//etc/passwd",
        "/f/%2fetc/passwd",
        "/f/%2e%2e%2fsecret.txt",
        "/app/..%2fsecret.txt",
    ],
)
def test_nothing_outside_the_folder_is_sent(site: Proxy, target: str) -> None:
    answer = ask(site, target)
    assert b"secret" not in answer.body.replace(b"secret.txt", b"")
    assert b"root:" not in answer.body
    assert answer.status in (400, 404) or answer.body == b"<p>app</p>"


def test_a_link_to_the_outside_is_not_followed(site: Proxy) -> None:
    root = Path(site.config["root"])
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "folder").symlink_to(root.parent)
    for target in ("/f/link.txt", "/f/folder/secret.txt"):
        assert ask(site, target).body != b"secret", target


@pytest.mark.parametrize(
    ("ranges", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=511990-", 511990, 512000),
        ("bytes=-10", 511990, 512000),
        ("bytes=511990-999999", 511990, 512000),
        ("bytes=-999999", 0, 512000),
    ],
)
def test_a_range_is_sent_alone(site: Proxy, ranges: str, start: int, stop: int) -> None:
    answer = ask(site, "/f/data.bin", Range=ranges)
    assert answer.status == 206
    assert answer.value("content-range") == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert answer.value("content-length") == str(stop - start)
    assert answer.body == DATA[start:stop]


@pytest.mark.parametrize("ranges", ["bytes=512000-", "bytes=999999-1000000", "bytes=-0"])
def test_a_range_beyond_the_file_is_416(site: Proxy, ranges: str) -> None:
    answer = ask(site, "/f/data.bin", Range=ranges)
    assert (answer.status, answer.value("content-range")) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize("ranges", ["bytes=9-1", "bytes=a-b", "bytes=", "bytes", "bytes=--1", "lines=1-2"])
def test_a_range_that_makes_no_sense_is_ignored_or_refused(site: Proxy, ranges: str) -> None:
    answer = ask(site, "/f/data.bin", Range=ranges)
    # RFC 9110 section 14.2 leaves that choice, except for a unit one does not know.
    if answer.status != 416 or ranges.startswith("lines"):
        assert (answer.status, len(answer.body)) == (200, len(DATA))


def test_what_the_client_has_is_not_sent_again(site: Proxy) -> None:
    etag = ask(site, "/f/data.bin").value("etag") or ""
    with Client(site.address) as client:
        for have in (etag, f'"other", {etag}', "*"):
            answer = client.ask("GET", "/f/data.bin", [("If-None-Match", have)])
            assert (answer.status, answer.body, answer.value("etag")) == (304, b"", etag)
        assert client.ask("GET", "/f/data.bin", [("If-None-Match", '"other"')]).status == 200


def test_a_changed_file_has_another_etag(site: Proxy) -> None:
    file = Path(site.config["root"]) / "changing.txt"
    file.write_text("one")
    first = ask(site, "/f/changing.txt")
    file.write_text("other")
    second = ask(site, "/f/changing.txt")
    assert (first.body, second.body) == (b"one", b"other")
    assert first.value("etag") != second.value("etag")
    assert ask(site, "/f/changing.txt", If_None_Match=first.value("etag") or "").status == 200


def test_head_tells_what_get_would_send(site: Proxy) -> None:
    with Client(site.address) as client:
        head = client.ask("HEAD", "/f/data.bin")
        get = client.ask("GET", "/f/data.bin")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.value(name) == get.value(name)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_are_for_reading(site: Proxy, method: str) -> None:
    answer = ask(site, "/f/data.bin", method)
    assert answer.status == 405
    assert {name.strip() for name in (answer.value("allow") or "").split(",")} >= {"GET", "HEAD"}


def test_a_route_sets_and_removes_the_fields_of_its_files(site: Proxy) -> None:
    answer = ask(site, "/edited/data.bin")
    assert (answer.status, answer.body, answer.values("content-type")) == (200, DATA, ["text/x"])
    assert (answer.values("etag"), answer.values("last-modified")) == ([], [])
    assert (answer.values("accept-ranges"), answer.values("date")) == (["bytes"], ["theirs"])


def test_files_follow_each_other_on_one_connection(site: Proxy) -> None:
    with Client(site.address) as client:
        for _ in range(5):
            assert client.ask("GET", "/f/data.bin").body == DATA
            assert client.ask("GET", "/f/index.html").body == b"<p>root</p>"
