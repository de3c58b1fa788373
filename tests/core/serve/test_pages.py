"""A page is at `/`, its files beside it and the kit at `/kit/`, and nothing foreign gets in."""
import re

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.pages import KIT, add_page, policy
from hotpath.core.serve.testing import serving
from tests.clients import fetch

SHARED = sorted(KIT.iterdir())


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>hello</title>")
    (folder / "main.js").write_text('import "./kit/dom.js";')
    app = Router()
    add_page(app, folder, connect=["https:"])
    with serving(app) as served:
        yield served.address


@pytest.mark.parametrize(("path", "kind"), [
    ("/", "text/html; charset=utf-8"), ("/index.html", "text/html; charset=utf-8"),
    ("/main.js", "text/javascript; charset=utf-8"), ("/kit/theme.css", "text/css; charset=utf-8"),
])
def test_a_file_comes_as_what_it_is_under_the_policy(address, path, kind):
    answer = fetch(address, path)
    assert (answer.status, answer.value("content-type")) == (200, kind)
    assert answer.value("content-security-policy") == policy(["https:"])
    assert "connect-src 'self' https:;" in policy(["https:"])
    assert answer.value("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_each_file_of_the_kit_is_served(address, path):
    answer = fetch(address, f"/kit/{path.name}")
    assert (answer.status, answer.body) == (200, path.read_bytes())


def test_a_file_that_the_browser_has_is_not_sent_again(address):
    answer = fetch(address, "/kit/dom.js", fields=[("If-None-Match", fetch(address, "/kit/dom.js").value("etag"))])
    assert (answer.status, answer.body, answer.value("cache-control")) == (304, b"", "no-cache")


@pytest.mark.parametrize("path", ["/kit", "/kit/", "/kit/../pages.py", "/kit/nothing.js", "/main.js/", "/dom.js"])
def test_what_is_not_the_page_stays_unknown(address, path):
    assert fetch(address, path).status == 404


def test_what_was_added_is_told(tmp_path):
    (tmp_path / "index.html").write_text("")
    app = Router()
    assert add_page(app, tmp_path) == ["/", "/index.html", *(f"/kit/{path.name}" for path in SHARED)]
    assert sorted(route.pattern for route in app.routes) == sorted(add_page(Router(), tmp_path))


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_the_kit_makes_no_markup_of_data_and_works_behind_a_prefix(path):
    text = re.sub(r"http://www\.w3\.org/\S+", "", path.read_text())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|://", text)
    assert not re.search(r"""(?:src|href|from|url|fetch|import)\s*[=(]?\s*["']/""", text)
