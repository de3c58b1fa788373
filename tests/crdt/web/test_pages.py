"""The page is at `/`, its modules beside it, and nothing foreign gets in."""
import re
from pathlib import Path

import pytest

from hotpath.core.serve import Response, Router
from hotpath.core.serve.pages import policy
from hotpath.core.serve.testing import serving
from hotpath.crdt.web import pages
from tests.clients import fetch

FILES = sorted(pages.FOLDER.iterdir())


@pytest.fixture(scope="module")
def address():
    app = Router()
    app.add("GET", "/kv", lambda request: Response.json([]))
    pages.routes(app)
    with serving(app) as served:
        yield served.address


def test_the_index_is_at_the_root(address):
    answer = fetch(address, "/")
    assert (answer.status, answer.value("content-type")) == (200, "text/html; charset=utf-8")
    assert answer.body == (pages.FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_comes_with_a_policy_that_allows_nothing_inline(address, path):
    answer = fetch(address, f"/{path.name}")
    assert (answer.status, answer.body) == (200, path.read_bytes())
    policy = answer.value("content-security-policy") or ""
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.value("x-content-type-options") == "nosniff"


def test_a_file_that_the_browser_has_is_not_sent_again(address):
    tag = fetch(address, "/main.js").value("etag")
    answer = fetch(address, "/main.js", fields=[("If-None-Match", tag)])
    assert (answer.status, answer.body) == (304, b"")
    assert answer.value("cache-control") == "no-cache"


@pytest.mark.parametrize("path", ["/nothing", "/page/", "/../pages.py", "/main.js/", "/kv/"])
def test_what_is_not_the_page_stays_unknown(address, path):
    assert fetch(address, path).status == 404


def test_the_policy_in_the_page_is_the_one_of_the_server():
    """Whoever serves the files otherwise gets it too; frame-ancestors means nothing in a page."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', (pages.FOLDER / "index.html").read_text())[1]
    assert policy(pages.CONNECT) == f"{found}; frame-ancestors 'none'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_address_in_the_page_is_relative(path):
    """It works behind a prefix."""
    text = re.sub(r"http://www\.w3\.org/\S+", "", path.read_text())
    assert not re.search(r"""(?:src|href|from|url|fetch|import)\s*[=(]?\s*["']/""", text)
    assert "://" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_data_becomes_markup(path):
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", text) or Path(path).suffix == ".svg"
