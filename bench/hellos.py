"""HTTP servers that say hello: `python -P bench/hellos.py NAME PORT` runs one of the rivals on 127.0.0.1.

Each answers `GET /` with the same five bytes, on one process, without an access log, as its own pages advise.
"""
from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, cast

# Each imports its library itself: a server must not carry another's weight.

HELLO = b"hello"
Event = MutableMapping[str, Any]


async def asgi(scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]) -> None:
    """The application of the ASGI servers."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": HELLO})


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """The application of the WSGI servers."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [HELLO]


def uvicorn_httptools(port: int) -> None:
    """uvicorn as its `standard` extra makes it: uvloop and httptools."""
    import uvicorn

    uvicorn.run(asgi, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


def uvicorn_h11(port: int) -> None:
    """uvicorn on uvloop with h11."""
    import uvicorn

    uvicorn.run(asgi, host="127.0.0.1", port=port, loop="uvloop", http="h11", access_log=False, log_level="error")


def granian(port: int) -> None:
    """Granian, whose HTTP is Rust's hyper, with an ASGI application and one worker."""
    from granian import Granian
    from granian.constants import Interfaces, Loops

    Granian(f"{__file__}:asgi", address="127.0.0.1", port=port, interface=Interfaces.ASGI, loop=Loops.uvloop, workers=1,
            log_enabled=False, websockets=False).serve()


def gevent_wsgi(port: int) -> None:
    """gevent's WSGI server, logging off."""
    from gevent.pywsgi import WSGIServer

    WSGIServer(("127.0.0.1", port), wsgi, log=None).serve_forever()


def uvloop_protocol(port: int) -> None:
    """No server at all: a uvloop Protocol that answers whatever comes with bytes made beforehand."""
    import uvloop

    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n" + HELLO

    class Hello(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)     # uvloop's own is no subclass

        def data_received(self, data: bytes) -> None:
            self.transport.write(answer)

    async def serve() -> None:
        listening = await asyncio.get_running_loop().create_server(Hello, "127.0.0.1", port, backlog=512)
        await listening.serve_forever()

    uvloop.run(serve())


HELLOS: dict[str, Callable[[int], None]] = {
    "uvloop protocol": uvloop_protocol,
    "uvicorn+httptools": uvicorn_httptools,
    "uvicorn+h11": uvicorn_h11,
    "granian": granian,
    "gevent wsgi": gevent_wsgi,
}


if __name__ == "__main__":
    HELLOS[sys.argv[1]](int(sys.argv[2]))
