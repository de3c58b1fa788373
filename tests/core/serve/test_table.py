from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.serve import Response, Router
from hotpath.core.serve.table import Route, Table

RANK = {"": 0, "int": 1, "str": 2, "path": 3}


def handler(request: object, **names: object) -> Response:
    return Response("")


def kinds(pattern: str) -> list[tuple[str, str]]:
    found = []
    for part in pattern[1:].split("/"):
        match = re.fullmatch(r"\{(\w+)(?::(\w+))?\}", part)
        found.append((match[2] or "str", match[1]) if match else ("", part))
    return found


def reference(routes: list[Route], method: str, path: str) -> tuple[str, dict[str, object]] | None:
    """The most specific of all that match, tried one by one."""
    best: tuple[list[int], str, dict[str, object]] | None = None
    segments = path[1:].split("/")
    for route in routes:
        if route.method != method:
            continue
        parts = kinds(route.pattern)
        values: dict[str, object] = {}
        rest = parts[-1][0] == "path"
        if len(segments) < len(parts) if rest else len(segments) != len(parts):
            continue
        for i, (kind, text) in enumerate(parts):
            if kind == "" and segments[i] != text:
                break
            if kind == "int":
                if not re.fullmatch("[0-9]{1,18}", segments[i]):
                    break
                values[text] = int(segments[i])
            if kind == "str":
                if not segments[i]:
                    break
                values[text] = segments[i]
            if kind == "path":
                values[text] = "/".join(segments[i:])
        else:
            rank = [RANK[kind] for kind, _ in parts]
            if best is None or rank < best[0]:
                best = rank, route.pattern, values
    return None if best is None else (best[1], best[2])


SEGMENTS = st.sampled_from(["a", "b", "7", "12", ""])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from(["a", "b", "7", "{?:int}", "{?}"]), min_size=1, max_size=3))
    if draw(st.booleans()):
        parts.append("{?:path}")
    return "/" + "/".join(part.replace("?", f"p{i}") for i, part in enumerate(parts))


@given(st.lists(st.tuples(st.sampled_from(["GET", "POST"]), patterns()), max_size=8, unique=True),
       st.sampled_from(["GET", "POST"]), st.lists(SEGMENTS, min_size=1, max_size=5))
def test_the_most_specific_route_wins_as_if_all_were_tried(added, method, segments):
    routes = [Route(one, pattern, handler, index=i) for i, (one, pattern) in enumerate(added)]
    path = "/" + "/".join(segments)
    route, values, _ = Table(routes).match(method, path.encode(), is_plain="//" not in path)
    found = None if route is None else (route.pattern, values)
    assert found == reference(routes, method, path)


def test_the_methods_of_all_routes_of_a_path_are_allowed():
    app = Router()
    app.add("GET", "/a", handler)
    app.add("PUT", "/{name}", handler)
    assert app.table().match("DELETE", b"/a")[2] == {"GET", "HEAD", "PUT"}
    assert app.table().match("PUT", b"/a")[1] == {"name": "a"}


def test_head_takes_gets_route_unless_it_has_its_own():
    app = Router()
    app.add("GET", "/a", handler)
    app.add("HEAD", "/b", handler)
    app.add("GET", "/b", handler)
    found = app.table().match("HEAD", b"/a", is_plain=True)[0]
    assert found is not None
    assert found.method == "GET"
    found = app.table().match("HEAD", b"/b", is_plain=True)[0]
    assert found is not None
    assert found.method == "HEAD"


@pytest.mark.parametrize("path", ["a", "/{}", "/x{name}", "/{a}/{a}", "/{rest:path}/x", "/{a:float}", "/a?b", "/../x"])
def test_a_path_that_is_none_is_refused(path: str):
    with pytest.raises(ValueError, match="route"):
        Router().add("GET", path, handler)


def test_a_route_is_added_once():
    app = Router()
    app.add("GET", "/{a}", handler)
    with pytest.raises(ValueError, match="there already"):
        app.add("GET", "/{b}", handler)


def test_a_handler_takes_its_parameters():
    with pytest.raises(TypeError, match="does not fit"):
        Router().add("GET", "/{a}", lambda request: Response(""))
    with pytest.raises(TypeError, match="does not fit"):
        Router().add("GET", "/", lambda request, a: Response(""))


@pytest.mark.parametrize("rest", [
    "", "a", "a/b", "a%2Fb", "a//b", "/", ".", "..", "a/../b", "%ff", "%00", "%zz", "caf\xe9"])
def test_a_raw_parameter_is_what_was_sent(rest: str) -> None:
    app = Router()
    app.add("GET", "/kv/{rest:raw}", handler)
    app.add("GET", "/kv", handler)
    path = f"/kv/{rest}".encode("latin-1")
    route, values, _ = app.table().match("GET", path, is_plain=path.isalnum())
    assert route is not None
    assert (route.pattern, values) == ("/kv/{rest:raw}", {"rest": rest})
    assert app.table().match("PUT", path) == (None, {}, {"GET", "HEAD"})


def test_a_raw_parameter_stands_alone_and_last() -> None:
    for pattern in ("/{a}/{rest:raw}", "/{rest:raw}/x", "/{a:int}/{rest:raw}"):
        with pytest.raises(ValueError, match="is the last segment, and the only parameter"):
            Router().add("GET", pattern, handler)


def test_beside_a_raw_parameter_other_paths_are_as_ever() -> None:
    app = Router()
    app.add("GET", "/kv/{rest:raw}", handler)
    app.add("GET", "/kv", handler)
    app.add("GET", "/{name}", handler)
    assert app.table().match("GET", b"/kv")[0].pattern == "/kv"     # type: ignore[union-attr]
    assert app.table().match("GET", b"/kvx")[1] == {"name": "kvx"}
    assert app.table().match("GET", b"/x/y")[0] is None
