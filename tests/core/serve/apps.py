"""The application that the tests of serve ask."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hotpath.core.serve import Request, Response, Router
from hotpath.core.tasks import Cancelled, Event, current, offload, sleep

PIECE = b"x" * 65536


class Closing:
    """A body that notes its close."""

    def __init__(self, seen: list[str], name: str) -> None:
        self.seen, self.name = seen, name

    def __iter__(self) -> Iterator[bytes]:
        yield b"piece"

    def close(self) -> None:
        self.seen.append(f"closed {self.name}")


def make(folder: Path | None = None) -> Router:
    """One route for each habit."""
    app = Router()
    gates: dict[str, Event] = {}
    seen: list[str] = []

    @app.route("GET", "/hello")
    def hello(request: Request) -> Response:
        return Response("hello")

    @app.route("GET", "/items/{id:int}")
    def item(request: Request, id: int) -> Response:
        return Response.json({"id": id, "query": request.query, "agent": request.headers.get("User-Agent")})

    @app.route("GET", "/names/{name}")
    def name(request: Request, name: str) -> Response:
        return Response.json([name, request.path, request.raw_path])

    @app.route("POST", "/echo", max_body=None)
    def echo(request: Request) -> Response:
        return Response(request.body())

    @app.route("POST", "/small", max_body=10)
    def small(request: Request) -> Response:
        return Response(request.body())

    @app.route("POST", "/pipe", max_body=None)
    def pipe(request: Request) -> Response:
        return Response(request.stream())

    @app.route("POST", "/json")
    def as_json(request: Request) -> Response:
        return Response.json(request.json(dict))

    @app.route("POST", "/unread")
    def unread(request: Request) -> Response:
        return Response("did not look")

    @app.route("GET", "/fail")
    def fail(request: Request) -> Response:
        raise ZeroDivisionError("a secret")

    @app.route("GET", "/nothing")
    def nothing(request: Request) -> Response:
        return None     # type: ignore[return-value]

    @app.route("GET", "/split")
    def split(request: Request) -> Response:
        return Response("", headers={"X": request.query["value"]})

    @app.route("GET", "/pieces/{n:int}")
    def pieces(request: Request, n: int) -> Response:
        return Response(f"{i}\n" for i in range(n))

    @app.route("GET", "/known")
    def known(request: Request) -> Response:
        return Response(iter([b"abc", b"def"]), headers={"Content-Length": 6})

    @app.route("GET", "/wrong/{n:int}")
    def wrong(request: Request, n: int) -> Response:
        return Response(iter([b"abc", b"def"]), headers={"Content-Length": n})

    @app.route("GET", "/breaks")
    def breaks(request: Request) -> Response:
        def body() -> Iterator[bytes]:
            yield b"begun"
            raise ZeroDivisionError("a secret")
        return Response(body())

    @app.route("GET", "/big/{n:int}")
    def big(request: Request, n: int) -> Response:
        return Response(bytes(n))

    @app.route("GET", "/flood")
    def flood(request: Request) -> Response:
        def body() -> Iterator[bytes]:
            try:
                while True:
                    gates.setdefault("flood", Event())
                    seen.append("piece")
                    yield PIECE
            finally:
                seen.append("flood closed")
        return Response(body())

    @app.route("GET", "/flooded")
    def flooded(request: Request) -> Response:
        return Response.json({"pieces": seen.count("piece"), "closed": seen.count("flood closed")})

    @app.route("GET", "/wait/{name}")
    def wait(request: Request, name: str) -> Response:
        seen.append(f"waiting {name}")
        try:
            gates.setdefault(name, Event()).wait()
        except Cancelled:
            seen.append(f"cancelled {name}")
            raise
        return Response(name)

    @app.route("GET", "/open/{name}")
    def open_gate(request: Request, name: str) -> Response:
        gates.setdefault(name, Event()).set()
        return Response("open")

    @app.route("GET", "/closing/{name}")
    def closing(request: Request, name: str) -> Response:
        return Response(Closing(seen, name))

    @app.route("GET", "/stubborn/{name}")
    def stubborn(request: Request, name: str) -> Response:
        seen.append(f"waiting {name}")
        with suppress(Cancelled):
            Event().wait()
        return Response(Closing(seen, name))

    @app.route("GET", "/numbers")
    def numbers(request: Request) -> Response:
        return Response(iter([3]))      # type: ignore[arg-type]

    @app.route("GET", "/task")
    def task(request: Request) -> Response:
        return Response(repr(current()))

    remembered: list[object] = []

    @app.route("GET", "/remember")
    def remember(request: Request) -> Response:
        remembered.append(current())
        return Response(str(len([task for task in remembered if task is current()])))

    @app.route("GET", "/reused")
    def reused(request: Request) -> Response:
        return Response(str(id(current())))

    @app.route("GET", "/offload/{name}")
    def in_thread(request: Request, name: str) -> Response:
        import threading
        seen.append(f"waiting {name}")
        try:
            offload(threading.Event().wait, 30)
        except Cancelled:
            seen.append(f"cancelled {name}")
            raise
        return Response(name)

    @app.route("GET", "/seen")
    def what_was_seen(request: Request) -> Response:
        return Response.json(seen)

    @app.route("GET", "/nap")
    def nap(request: Request) -> Response:
        sleep(0.01)
        return Response("rested")

    @app.route("GET", "/client")
    def client(request: Request) -> Response:
        return Response.json(request.client)

    @app.websocket("/live", origins=("https://friend.example",), authorize=lambda request: "let" in request.query)
    def live(request: Request, socket: object) -> None:
        pass

    if folder is not None:
        app.files("/static/{rest:path}", str(folder))
    return app
