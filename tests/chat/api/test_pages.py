"""The page and its files."""
import re

import pytest

from hotpath.chat.api.pages import FOLDER, policy
from hotpath.core.serve.pages import KIT

ONE_ENGINE = True


def test_the_policy_lets_in_ourselves_and_the_gateways():
    assert policy(["wss://b.example/ws/g2", "ws://127.0.0.1:5/ws", "ws://127.0.0.1:5/other"]) == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' ws://127.0.0.1:5 wss://b.example; font-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'")
    assert "connect-src 'self' ws: wss:;" in policy([])


@pytest.mark.parametrize("path", ["/", "/c/1", "/c/999999"])
def test_the_page_is_there_for_everybody_with_its_policy(api, path):
    answer = api.caller().get(path)
    assert answer.status == 200
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.fields["content-security-policy"]
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["cache-control"] == "no-cache"
    again = api.caller().get(path, headers={"If-None-Match": answer.fields["etag"]})
    assert (again.status, again.body) == (304, b"")
    head = api.caller().ask("HEAD", path)
    assert (head.status, head.body, head.fields["content-length"]) == (200, b"", str(len(answer.body)))


@pytest.mark.parametrize("path", sorted(path.name for path in FOLDER.iterdir() if path.is_file()))
def test_each_file_of_the_page_has_the_type_a_browser_asks_for(api, path):
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
             ".html": "text/html; charset=utf-8"}
    answer = api.caller().get(f"/page/{path}")
    assert answer.status == 200
    assert answer.body == (FOLDER / path).read_bytes()
    suffix = "." + path.rpartition(".")[2]
    if suffix in types:
        assert answer.fields["content-type"] == types[suffix]
    again = api.caller().get(f"/page/{path}", headers={"If-None-Match": answer.fields["etag"]})
    assert (again.status, again.body) == (304, b"")
    part = api.caller().get(f"/page/{path}", headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, answer.body[1:4])


@pytest.mark.parametrize("path", sorted(path.name for path in KIT.iterdir()))
def test_each_file_of_the_kit_is_beside_the_page(api, path):
    answer = api.caller().get(f"/kit/{path}")
    assert (answer.status, answer.body) == (200, (KIT / path).read_bytes())


@pytest.mark.parametrize(("path", "up"), [("/", ""), ("/c/1", "../")])
def test_what_the_page_loads_is_found_from_where_it_is(api, path, up):
    """Behind any prefix: nothing begins at the root."""
    found = re.findall(r'(?:href|src)="([^"#]+)"', api.caller().get(path).body.decode())
    assert len(found) > 8
    for address in found:
        assert address.startswith((f"{up}page/", f"{up}kit/")), address
        assert api.caller().get(f"/{address.removeprefix(up)}").status == 200


@pytest.mark.parametrize("path", sorted(path.name for path in FOLDER.iterdir()))
def test_no_address_in_the_page_begins_at_the_root(path):
    text = (FOLDER / path).read_text()
    assert not re.search(r"""(?:src|href|from|url|fetch|at|ask)\s*[=(]?\s*(?:"[A-Z]+", )?["'`]/""", text)


@pytest.mark.parametrize("path", ["/kit/", "/kit/nothing.js", "/kit/..%2fserve%2fpages.py",
                                  "/page/", "/page/nothing.js",
                                  "/page/..%2f..%2fauth.py", "/page/../config.py",
                                  "/page/%2e%2e/config.py", "/page/.hidden", "/page//index.html", "/page/%00", "/c/0",
                                  "/page/a/%2e%2e/index.html", "/page/index.html/", "/c/1/"])
def test_nothing_else_is_served(api, path):
    answer = api.caller().get(path)
    assert answer.status == 404
    answer.problem()


@pytest.mark.parametrize("path", ["/", "/c/1"])
def test_who_has_no_session_is_told_so_by_the_page(api, path):
    caller = api.caller()
    stranger, known = caller.get(path), caller.get(path, headers={"Cookie": "hp_session=anything"})
    assert stranger.body.replace(b'data-session="no" ', b"", 1) == known.body
    assert stranger.fields["ETag"] != known.fields["ETag"]
    assert caller.get(path, headers={"If-None-Match": stranger.fields["ETag"]}).status == 304
    assert "Cookie" in stranger.fields["Vary"]
