from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.pages import KIT
from hotpath.core.serve.testing import Served, serving
from hotpath.ide.web.pages import FOLDER, Pages, policy, read
from hotpath.ide.web.problems import finish
from tests.clients import Answer, fetch

SCRIPT = b"export const x = 1;\n" * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page")
    (made / "index.html").write_text("<!doctype html><title>Home</title>")
    (made / "project.html").write_text("<!doctype html><title>Project</title>")
    (made / "style.css").write_text("body { margin: 0 }")
    (made / "vendor").mkdir()
    for name in ("editor-0a1b2c3d.js", "term-ABCDEF12.js", "plain.js", "LICENSE.some-longname.txt"):
        (made / "vendor" / name).write_bytes(SCRIPT)
    (made / "vendor" / "editor-0a1b2c3d.js.gz").write_bytes(gzip.compress(SCRIPT))
    return made


@pytest.fixture(scope="module", params=["", "/ide"])
def served(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Served, str]]:
    app = Router()
    app.finish = finish
    Pages("{key}.localhost", lambda: 8087, folder).add(app, request.param)
    with serving(app) as running:
        yield running, request.param


def get(served: tuple[Served, str], path: str, *fields: tuple[str, str], method: str = "GET") -> Answer:
    running, base = served
    return fetch(running.address, base + path, method, fields)


def test_the_shells_are_html_with_a_strict_policy(served):
    for path, title in (("/", b"Home"), ("/p/abcdefghijkl", b"Project"), ("/p/nothing", b"Project")):
        answer = get(served, path)
        assert (answer.status, title in answer.body) == (200, True)
        assert answer.value("content-type") == "text/html; charset=utf-8"
        assert answer.value("cache-control") == "no-cache"
        assert answer.value("x-content-type-options") == "nosniff"
        rules = dict(rule.strip().split(" ", 1) for rule in (answer.value("content-security-policy") or "").split(";"))
        assert rules["default-src"] == rules["script-src"] == rules["connect-src"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == rules["object-src"] == "'none'"
        assert rules["frame-src"] == "http://*.localhost:8087 https://*.localhost:8087"
        assert "unsafe-eval" not in str(rules)
        assert "unsafe-inline" not in rules["script-src"]


def test_a_path_without_its_slash_leads_to_it(served):
    running, base = served
    if base:
        answer = fetch(running.address, f"{base}?a=b")
        assert (answer.status, answer.value("location")) == (308, f"{base}/?a=b")
        assert fetch(running.address, "/").status == 404


@pytest.mark.parametrize(("name", "cache"), [
    ("vendor/editor-0a1b2c3d.js", "public, max-age=31536000, immutable"),
    ("vendor/term-ABCDEF12.js", "public, max-age=31536000, immutable"),
    ("vendor/plain.js", "no-cache"), ("vendor/LICENSE.some-longname.txt", "no-cache"), ("style.css", "no-cache")])
def test_only_what_has_its_hash_in_its_name_is_kept_for_ever(served, name, cache):
    answer = get(served, f"/static/{name}")
    assert (answer.status, answer.value("cache-control")) == (200, cache)


def test_the_kit_is_among_them(served):
    for path in KIT.iterdir():
        answer = get(served, f"/static/kit/{path.name}")
        assert (answer.status, answer.body, answer.value("cache-control")) == (200, path.read_bytes(), "no-cache")


def test_who_takes_gzip_gets_it_and_caches_know(served):
    path = "/static/vendor/editor-0a1b2c3d.js"
    plain, packed = get(served, path), get(served, path, ("Accept-Encoding", "br, gzip;q=0.5"))
    assert plain.body == SCRIPT
    assert plain.value("content-encoding") is None
    assert packed.value("content-encoding") == "gzip"
    assert gzip.decompress(packed.body) == SCRIPT
    assert plain.value("vary") == packed.value("vary") == "Accept-Encoding"
    assert plain.value("etag") != packed.value("etag")
    assert plain.value("content-type") == packed.value("content-type") == "text/javascript; charset=utf-8"
    assert get(served, path, ("Accept-Encoding", "gzip;q=0")).value("content-encoding") is None
    assert get(served, "/static/style.css", ("Accept-Encoding", "gzip")).value("content-encoding") is None


def test_what_is_known_is_not_sent_again(served):
    answer = get(served, "/static/style.css")
    known = ("If-None-Match", f'W/"x", {answer.value("etag")}')
    again = get(served, "/static/style.css", known)
    assert (again.status, again.body, again.value("etag")) == (304, b"", answer.value("etag"))
    head = get(served, "/static/style.css", method="HEAD")
    assert (head.status, head.value("content-length")) == (200, str(len(answer.body)))


@pytest.mark.parametrize("path", [
    "/static/", "/static/nothing.js", "/static/index.html", "/static/../index.html", "/static/%2e%2e/index.html",
    "/static/..%2f..%2fetc/passwd", "/static/vendor/../../../../etc/passwd", "/static//etc/passwd", "/static/vendor",
    "/static/vendor/editor-0a1b2c3d.js.gz", "/static/style.css/", "/p/", "/p/a/b"])
def test_nothing_else_is_there(served, path):
    answer = get(served, path)
    assert answer.status == 404
    assert answer.json()["code"] == "not-found"


def test_a_compressed_file_that_is_another_is_refused_at_the_start(tmp_path):
    (tmp_path / "x.js").write_bytes(b"new")
    (tmp_path / "x.js.gz").write_bytes(gzip.compress(b"old"))
    with pytest.raises(ValueError, match="make it again"):
        read(tmp_path / "x.js", tmp_path)


def test_previews_may_be_elsewhere():
    assert "frame-src http://*.preview.example:80 https" in policy("{key}.preview.example", 80)


def test_every_file_of_the_real_page_can_be_sent():
    pages = Pages("{key}.localhost", lambda: 8087, FOLDER)
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix != ".gz":
            read(path, FOLDER)
    assert pages is not None
