"""Nothing answers before the gate: every route there is, and all that is none, is asked for without a right to it."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotpath.core.config import load
from hotpath.core.serve import Router
from hotpath.ide.config import IdeConfig
from hotpath.ide.server import app_of
from tests.clients import Client, fetch
from tests.ide.paths import public_folder
from tests.ide.servers import Ide, serving, written

FRONT = "https://ide.example.org"
# The contract's: all others need a credential.
OPEN = {("GET", "/healthz"), ("GET", "/ide/healthz"), ("GET", "/ide"), ("GET", "/ide/"), ("GET", "/ide/p/{id}"),
        ("GET", "/ide/static/{rest:path}"), ("POST", "/ide/api/session")}
BUILT_IN = [("GET", path) for path in ("/healthz", "/ide/healthz", "/metrics", "/ide/metrics")]


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with public_folder() as folder:
        yield written(folder, base_path="/ide/", auth={"origins": [FRONT]}, templates={"bare": {"image": "none"}})


@pytest.fixture(scope="module")
def ide(file: Path) -> Iterator[Ide]:
    with serving(file) as running:
        yield running


@pytest.fixture(scope="module")
def app(file: Path) -> Router:
    return app_of(load(file, IdeConfig), str(file))


@pytest.fixture(scope="module")
def project(ide: Ide) -> dict[str, Any]:
    made: dict[str, Any] = ide.right(201, "POST", "/ide/api/projects", {"name": "guarded", "template": "bare"})
    return made


@pytest.fixture(scope="module")
def asked(app: Router, project: dict[str, Any], ide: Ide) -> list[tuple[str, str, str]]:
    """(method, pattern, path) of every route; a websocket's method is empty."""
    shell = ide.right(201, "POST", f"/ide/api/projects/{project['id']}/terminals")
    values = {"id": project["id"], "terminal": shell["id"], "etag": "0" * 32, "seq": "1", "rest": "x.js"}

    def path(pattern: str) -> str:
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda match: values[match[1]], pattern)

    routes = [*((route.method, route.pattern) for route in app.routes), *BUILT_IN]
    return [(method, pattern, path(pattern)) for method, pattern in routes]


def answers(ide: Ide, method: str, path: str, *fields: tuple[str, str], host: str | None = None) -> tuple[int, str]:
    """The status and the code of what comes."""
    if method == "":
        return ide.upgrade(path, fields, host), ""
    answer = fetch(ide.address, path, method, fields, b"" if method in ("POST", "PUT", "PATCH") else None,
                   host=host or ide.address)
    is_problem = answer.value("content-type") == "application/problem+json" and method != "HEAD"
    return answer.status, answer.json().get("code", "") if is_problem else ""


def test_there_are_as_many_routes_as_the_contract_has(asked):
    assert len(asked) > 40
    assert len([method for method, _, _ in asked if method == ""]) == 2


def test_only_the_open_routes_answer_without_a_credential(ide, asked):
    for method, pattern, path in asked:
        status, code = answers(ide, method, path)
        if (method, pattern) in OPEN:
            assert status != 401 or pattern == "/ide/api/session", pattern
        else:
            assert (status, code) == (401, "" if method == "" else "unauthorized"), (method, pattern)


def test_no_route_answers_to_another_host(ide, asked):
    for method, pattern, path in asked:
        status, code = answers(ide, method, path, *ide.bearer, host="evil.example")
        assert (status, code) == (421, "" if method == "" else "wrong-host"), (method, pattern)


def test_no_route_answers_a_page_of_another_origin(ide, asked):
    for method, pattern, path in asked:
        status, code = answers(ide, method, path, *ide.bearer, ("Origin", "http://evil.example"))
        assert (status, code) == (403, "" if method == "" else "wrong-origin"), (method, pattern)


def test_no_change_and_no_upgrade_goes_by_a_cookie_alone(ide, asked):
    cookie = signed_in(ide)
    for method, pattern, path in asked:
        status, code = answers(ide, method, path, cookie)
        if method in ("GET", "HEAD"):
            assert status not in (401, 403, 421), (method, pattern)
        else:
            assert (status, code) == (403, "" if method == "" else "origin-required"), (method, pattern)
    for method in "GET", "POST":
        fields = (cookie, ("Upgrade", "anything"), ("Connection", "Upgrade"))
        assert answers(ide, method, "/ide/api/projects", *fields) == (403, "origin-required")


def test_what_is_no_route_and_no_method_is_asked_for_a_credential_first(ide):
    paths = ["/ide/api", "/ide/api/", "/ide/api/nothing", "/ide/api/projects/x/y/z", "/ide/%61pi/projects",
             "/ide/api/../api/projects", "/metrics", "/metrics/", "/ide/metrics", "/ide/metrics/x",
             "/ide/api%2fprojects"]
    for path in paths:
        for method in "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW":
            status, _code = answers(ide, method, path)
            assert status == 401, (method, path)
    for method in "PUT", "PATCH", "BREW", "OPTIONS":
        assert answers(ide, method, "/ide/api/session")[0] == 401
    assert answers(ide, "", "/ide/api/nothing")[0] == 401
    assert answers(ide, "GET", "/nothing") == (404, "not-found")
    assert answers(ide, "GET", "/api/projects") == (404, "not-found")


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:PORT", "127.0.0.1", "localhost", "127.0.0.1:1", "localhost.:PORT", "127.0.0.2:PORT",
    "localhost.evil.example:PORT", "evil.localhost:PORT", "0.0.0.0:PORT", "[::]:PORT", "127.1:PORT", "2130706433:PORT",
    "ide.example.org:8443", "ide.example.org.evil.example", "127.0.0.1:0PORT", "[::ffff:127.0.0.1]:PORT"])
def test_a_host_that_is_not_ours(ide, host):
    host = host.replace("PORT", str(ide.served.port))
    for path in "/healthz", "/ide/", "/ide/api/projects", "/ide/api/session", "/nothing":
        assert answers(ide, "GET", path, *ide.bearer, host=host)[0] in (400, 421), path
    assert answers(ide, "POST", "/ide/api/session", host=host)[0] in (400, 421)


@pytest.mark.parametrize("host", [
    "127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT", "[::1]:PORT", "ide.example.org", "ide.example.org:443",
    "IDE.example.org"])
def test_a_host_that_is_ours(ide, host):
    host = host.replace("PORT", str(ide.served.port))
    assert answers(ide, "GET", "/ide/api/projects", *ide.bearer, host=host)[0] == 200


def test_the_hosts_of_one_request_agree(ide):
    own = ide.address.encode()
    for head in (b"GET /ide/api/projects HTTP/1.1\r\nHost: %b\r\nHost: evil.example\r\n" % own,
                 b"GET http://evil.example/ide/api/projects HTTP/1.1\r\nHost: %b\r\n" % own,
                 b"GET http://%b/ide/api/projects HTTP/1.1\r\nHost: evil.example\r\n" % own,
                 b"GET http://[:::]/ide/api/projects HTTP/1.1\r\nHost: %b\r\n" % own,
                 b"GET /ide/api/projects HTTP/1.0\r\n", b"GET /ide/api/projects HTTP/1.1\r\n",
                 b"GET /ide/api/projects HTTP/1.1\r\nHost:\r\n"):
        with Client(ide.address) as client:
            client.send(head + f"Authorization: Bearer {ide.token}\r\n\r\n".encode())
            assert client.answer().status in (400, 421), head
    with Client(ide.address) as client:
        client.send(b"GET http://%b/ide/api/projects HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\n\r\n" % (
            own, own, ide.token.encode()))
        assert client.answer().status == 200


@pytest.mark.parametrize("origin", [
    "null", "", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:PORT", "http://127.0.0.1:1",
    "http://localhost:PORT.evil.example", "http://evil.example#http://127.0.0.1:PORT", "file://", "http://KEY.localhost:PORT",
    "http://127.0.0.1:PORT/", "http://127.0.0.1:PORT, http://127.0.0.1:PORT", "http://ide.example.org",
    "https://ide.example.org:8443", "https://ide.example.org.evil.example", "chrome-extension://abc"])
def test_an_origin_that_is_not_ours(ide, origin):
    origin = origin.replace("PORT", str(ide.served.port))
    for method, path in (("GET", "/ide/api/projects"), ("POST", "/ide/api/projects"), ("POST", "/ide/api/session"),
                         ("GET", "/ide/"), ("", "/ide/api/projects/x/events")):
        assert answers(ide, method, path, *ide.bearer, ("Origin", origin))[0] == 403, path


@pytest.mark.parametrize("origin", ["http://127.0.0.1:PORT", "http://localhost:PORT", "http://[::1]:PORT", FRONT,
                                    "https://ide.example.org:443", "HTTPS://IDE.EXAMPLE.ORG"])
def test_an_origin_that_is_ours(ide, origin):
    origin = origin.replace("PORT", str(ide.served.port))
    cookie = signed_in(ide)
    assert answers(ide, "GET", "/ide/api/projects", cookie, ("Origin", origin))[0] == 200
    assert answers(ide, "POST", "/ide/api/projects", cookie, ("Origin", origin)) == (415, "unsupported-media-type")
    assert answers(ide, "", "/ide/api/projects/x/events", cookie, ("Origin", origin))[0] == 404


@pytest.mark.parametrize("given", [
    "Bearer", "Bearer ", "Bearer x", "Basic TOKEN", "TOKEN", "Bearer TOKENx", "Bearer TOKEN, Bearer TOKEN",
    "bearerTOKEN", "Bearer  ", "Bearer \xe4", "Token TOKEN", "Bearer TOKEN TOKEN"])
def test_what_is_not_the_token(ide, given):
    field = ("Authorization", given.replace("TOKEN", ide.token))
    assert answers(ide, "GET", "/ide/api/projects", field) == (401, "unauthorized")
    assert answers(ide, "", "/ide/api/projects/x/events", field)[0] == 401


@pytest.mark.parametrize("place", ["/ide/api/projects?token=TOKEN", "/ide/api/projects?access_token=TOKEN"])
def test_the_token_counts_nowhere_but_in_its_field(ide, place):
    assert answers(ide, "GET", place.replace("TOKEN", ide.token))[0] == 401


def test_what_is_no_session(ide):
    name, _, value = signed_in(ide)[1].partition("=")
    for cookie in (f"{name}=", f"{name}", f"{name}=x", f"hotpath_ide={value}", f"{name}x={value}", f"x{name}={value}",
                   f"{name}={value}x", f"{name}={value[:-1]}", f"{name}={ide.token}", f'{name}="{value}"',
                   f"a={name}={value}", f"{name}=\xe4"):
        assert answers(ide, "GET", "/ide/api/projects", ("Cookie", cookie))[0] == 401, cookie
    for cookie in f"{name}={value}", f"a=b; {name}={value};c=d", f"{name}=x; {name}={value}":
        assert answers(ide, "GET", "/ide/api/projects", ("Cookie", cookie))[0] == 200, cookie


def test_a_name_is_never_markup(ide):
    for name in ('<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}"):
        made = ide.right(201, "POST", "/ide/api/projects", {"name": name, "template": "bare", "start": False})
        for path in "/ide/", f"/ide/p/{made['id']}":
            answer = fetch(ide.address, path, "GET", ide.bearer, host=ide.address)
            assert name.encode() not in answer.body
        said = ide.ask("GET", f"/ide/api/projects/{made['id']}")
        assert (said.value("content-type"), said.value("x-content-type-options")) == ("application/json", "nosniff")


def test_no_answer_lets_another_page_read_it(ide):
    for origin in [], [("Origin", f"http://{ide.address}")]:
        answer = ide.raw("GET", "/ide/api/projects", [*ide.bearer, *origin])
        assert answer.value("access-control-allow-origin") is None
        assert answer.value("cross-origin-resource-policy") == "same-origin"
        assert answer.value("cache-control") == "no-store"
    assert ide.token not in ide.served.access_log()


def signed_in(ide: Ide) -> tuple[str, str]:
    answer = fetch(ide.address, "/ide/api/session", "POST", [("Content-Type", "application/json")],
                   b'{"token": "%b"}' % ide.token.encode(), host=ide.address)
    assert answer.status == 204
    return "Cookie", (answer.value("set-cookie") or "").partition(";")[0]
