"""Location behind a prefix: what a server calls its own path, its client gets as the path to ask us for."""
from __future__ import annotations

import pytest

from tests.probing import fields_of, head, probe


def location(given: str, *, name: str = "Location", status: int = 201, **route: object) -> str | None:
    """What becomes of a Location on its way back through a route."""
    worker = probe({
        "upstreams": {"u": {"servers": ["127.0.0.1:9001"]}}, "routes": [{"match": {}, "upstream": "u", **route}]})
    request = worker.request(head("/api/x"), peer="203.0.113.1")
    request.lease()
    request.forwarded()
    raw = f"HTTP/1.1 {status} x\r\n{name}: {given}\r\nX-After: a\r\nContent-Length: 0\r\n\r\n"
    fields = fields_of(request.returned(raw.encode()))
    assert ("x-after", "a") in fields
    found = [value for name, value in fields if name == "location"]
    assert len(found) < 2
    return found[0] if found else None


API = {"strip_prefix": "/api"}
BOTH = {"strip_prefix": "/api/", "add_prefix": "/v1/"}


@pytest.mark.parametrize(("given", "route", "seen"), [
    ("/x/5", API, "/api/x/5"),
    ("/", API, "/api/"),
    ("/x?next=/y#z", API, "/api/x?next=/y#z"),
    ("/apix", API, "/api/apix"),
    ("http://test/x", API, "http://test/api/x"),
    ("https://test/x", API, "https://test/api/x"),
    ("HTTP://test/x", API, "HTTP://test/api/x"),
    ("/v1/x", BOTH, "/api/x"),
    ("/v1", BOTH, "/api"),
    ("http://test/v1/x", BOTH, "http://test/api/x"),
    ("/v1/x", {"add_prefix": "/v1"}, "/x"),
    ("/v1", {"add_prefix": "/v1"}, "/"),
    ("/v1?q", {"add_prefix": "/v1"}, "/?q"),
    ("/v1//elsewhere/x", {"add_prefix": "/v1"}, "/elsewhere/x"),
])
def test_a_path_of_the_server_becomes_the_one_to_ask_for(given: str, route: dict[str, str], seen: str) -> None:
    assert location(given, **route) == seen


@pytest.mark.parametrize(("given", "route"), [
    ("/x", {}),
    ("/api/x", API),                    # it knows its prefix
    ("/api", API),
    ("/api?q", API),
    ("x/5", API),
    ("?page=2", API),
    ("", API),
    ("//elsewhere/x", API),
    ("http://elsewhere/x", API),
    ("http://test.elsewhere/x", API),
    ("http://test:81/x", API),
    ("http://test", API),
    ("http://", API),
    ("mailto:a@b", API),
    ("/v2/x", BOTH),                    # nobody can ask for it through this route
    ("/v1x", BOTH),
])
def test_what_is_right_or_somebody_elses_stays(given: str, route: dict[str, str]) -> None:
    assert location(given, **route) == given


@pytest.mark.parametrize("status", [201, 302, 303, 308])
@pytest.mark.parametrize("name", ["Location", "location", "LOCATION "])
def test_however_it_is_spelled_and_whatever_the_status(name: str, status: int) -> None:
    assert location("/x", name=name, status=status, **API) == "/api/x"


def test_what_the_route_says_of_it_wins() -> None:
    assert location("/x", **API, response_headers={"remove": ["location"]}) is None
    assert location("/x", **API, response_headers={"set": {"location": "/mine"}}) == "/mine"
