from __future__ import annotations

from hotpath.core.serve import Headers, Request, Response, Router
from hotpath.core.serve.testing import serving
from tests.clients import fetch


def test_fields_are_found_in_any_case_and_joined():
    headers = Headers([("Accept", "a"), ("X-One", "1"), ("accept", "b")])
    assert headers["ACCEPT"] == "a, b"
    assert headers.all("accept") == ["a", "b"]
    assert headers.get("absent") is None
    assert headers.get("absent", "x") == "x"
    assert "x-ONE" in headers
    assert (len(headers), list(headers)) == (2, ["accept", "x-one"])
    assert headers.items() == [("Accept", "a"), ("X-One", "1"), ("accept", "b")]


def test_a_request_outlives_its_answer_but_for_the_body():
    app = Router()
    kept: list[Request] = []

    @app.route("POST", "/keep/{name}")
    def keep(request: Request, name: str) -> Response:
        kept.append(request)
        return Response(request.body())

    @app.route("GET", "/kept")
    def look(request: Request) -> Response:
        old = kept[0]
        return Response.json([old.method, old.path, old.query_list, old.headers["x"], old.body().decode(), old.route])

    @app.route("POST", "/unread")
    def unread(request: Request) -> Response:
        kept.append(request)
        return Response("")

    @app.route("GET", "/late")
    def late(request: Request) -> Response:
        try:
            kept[-1].body()
        except RuntimeError as error:
            return Response(str(error))
        return Response("it was read")

    with serving(app) as served:
        fetch(served.address, "/keep/me?a=1&a=2", "POST", [("X", "y")], b"body")
        assert fetch(served.address, "/kept").json() == [
            "POST", "/keep/me", [["a", "1"], ["a", "2"]], "y", "body", "/keep/{name}"]
        fetch(served.address, "/unread", "POST", [], b"body")
        assert fetch(served.address, "/late").body == b"the request is answered already"


def test_too_many_parameters_are_refused():
    app = Router()
    app.add("GET", "/", lambda request: Response.json(len(request.query_list)))
    with serving(app) as served:
        assert fetch(served.address, "/?" + "&".join("a=1" for _ in range(1000))).json() == 1000
        assert fetch(served.address, "/?" + "&".join("a=1" for _ in range(1001))).status == 400


def test_one_field_is_found_as_among_all():
    app = Router()

    @app.route("GET", "/")
    def show(request: Request) -> Response:
        names = ("x-one", "x-many", "x-empty", "host", "x-not", "x", "x-on", "x-ones", "")
        first = [request.field(name) for name in names]
        same = [request.headers.get(name) for name in names]
        again = [request.field(name) for name in names]
        return Response.json([first, same, again])

    with serving(app) as served:
        fields = [("X-One", "1"), ("x-MANY", "a"), ("X-Many", "b"), ("X-Empty", ""), ("X-Ones", "\xe9")]
        first, same, again = fetch(served.address, "/", "GET", fields).json()
        assert first == same == again
        assert first[:5] == ["1", "a, b", "", "localhost", None]
        assert first[7] == "\xe9"
