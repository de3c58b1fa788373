"""The page is at `/`, its modules beside it, and nothing foreign gets in."""
from __future__ import annotations

import re

import pytest

from hotpath.core.serve.pages import KIT, policy
from hotpath.shard.web import pages, ring
from tests.clients import fetch
from tests.shard.web.standin import standing_in

FILES = sorted(pages.FOLDER.iterdir())


@pytest.fixture(scope="module")
def address():
    with standing_in() as served:
        yield served.address


def test_the_index_is_at_the_root(address):
    answer = fetch(address, "/")
    assert (answer.status, answer.value("content-type")) == (200, "text/html; charset=utf-8")
    assert answer.body == (pages.FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_comes_with_a_policy_that_allows_nothing_inline(address, path):
    answer = fetch(address, f"/{path.name}")
    assert (answer.status, answer.body) == (200, path.read_bytes())
    assert answer.value("content-security-policy") == policy()
    assert "unsafe" not in policy()
    assert answer.value("x-content-type-options") == "nosniff"


def test_a_file_that_the_browser_has_is_not_sent_again(address):
    tag = fetch(address, "/main.js").value("etag")
    answer = fetch(address, "/main.js", fields=[("If-None-Match", tag)])
    assert (answer.status, answer.body) == (304, b"")
    assert answer.value("cache-control") == "no-cache"


@pytest.mark.parametrize("path", ["/nothing", "/page/", "/../pages.py", "/main.js/", "/v1/", "/v1"])
def test_what_is_not_the_page_stays_unknown(address, path):
    assert fetch(address, path).status == 404


def test_the_policy_in_the_page_is_the_one_of_the_server():
    """Whoever serves the files otherwise gets it too; frame-ancestors means nothing in a page."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', (pages.FOLDER / "index.html").read_text())[1]
    assert policy() == f"{found}; frame-ancestors 'none'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_address_in_the_page_is_relative(path):
    """It works behind a prefix."""
    text = re.sub(r"http://www\.w3\.org/\S+|mysql://", "", path.read_text())
    assert not re.search(r"""(?:src|href|from|url|fetch|import)\s*[=(]?\s*["']/""", text)
    assert "://" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_data_becomes_markup(path):
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", text) or path.suffix == ".svg"


def test_the_page_and_the_picture_have_the_same_colours():
    theme = (KIT / "theme.css").read_text()
    for i in range(ring.HUES):
        assert f"--hue-{i}: light-dark({ring.LIGHT[i]}, {ring.DARK[i]});" in theme
