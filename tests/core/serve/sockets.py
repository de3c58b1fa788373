"""The application that the tests of websockets ask."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hotpath.core.errors import ConnectionClosed
from hotpath.core.serve import Block, Options, Request, Response, Router, WebSocket
from hotpath.core.tasks import Cancelled, Event, offload, sleep, spawn
from hotpath.core.wire.ws.upgrade import DeflateParameters


def make() -> Router:
    """One route for each habit."""
    app = Router()
    seen: list[str] = []
    gates: dict[str, Event] = {}
    room: set[WebSocket] = set()

    def gate(name: str) -> Event:
        return gates.setdefault(name, Event())

    @app.route("GET", "/seen")
    def what_was_seen(request: Request) -> Response:
        return Response.json(seen)

    @app.route("GET", "/open/{name}")
    def open_gate(request: Request, name: str) -> Response:
        gate(name).set()
        return Response("open")

    @app.websocket("/echo", options=Options(deflate=DeflateParameters(), subprotocols=("v1", "v2")))
    def echo(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(message)
        seen.append(f"echo {socket.close_code} {socket.close_reason}")

    @app.websocket("/plain/{room}/{n:int}")
    def plain(request: Request, socket: WebSocket, room: str, n: int) -> None:
        socket.send(f"{room} {n} {request.state} {socket.subprotocol}")

    @app.websocket("/raises")
    def raises(request: Request, socket: WebSocket) -> None:
        raise ZeroDivisionError("a secret")

    @app.websocket("/lets-out")
    def lets_out(request: Request, socket: WebSocket) -> None:
        while True:
            socket.receive()

    @app.websocket("/closes")
    def closes(request: Request, socket: WebSocket) -> None:
        for code, reason in ((1005, ""), (999, ""), (1000, "x" * 124)):
            with suppress(ValueError):
                socket.close(code, reason)
                seen.append("closed with what is not allowed")
        socket.close(4001, "enough ü")
        socket.close(1000)
        for call in (lambda: socket.send("late"), socket.receive, socket.ping):
            try:
                call()
            except ConnectionClosed:
                seen.append("closes raised")

    @app.websocket("/slow")
    def slow(request: Request, socket: WebSocket) -> None:
        gate("slow").wait()
        got = []
        try:
            while True:
                got.append(socket.receive())
        except ConnectionClosed as closed:
            seen.append(f"slow got {got} then {closed.code}")

    @app.websocket("/sends", options=Options(close_s=0.3))
    def sends(request: Request, socket: WebSocket) -> None:
        n = 0
        try:
            while True:
                socket.send(b"x" * 1000)
                n += 1
        except ConnectionClosed:
            seen.append("sends learned of the close")

    @app.websocket("/stuck", options=Options(close_s=0.2))
    def stuck(request: Request, socket: WebSocket) -> None:
        try:
            Event().wait()
        except Cancelled:
            seen.append("stuck was cancelled")
            raise

    @app.websocket("/closes-and-sticks", options=Options(close_s=0.2, ping_s=0))
    def closes_and_sticks(request: Request, socket: WebSocket) -> None:
        socket.close(1000)
        try:
            Event().wait()
        except Cancelled:
            seen.append("closes-and-sticks was cancelled")
            raise

    @app.websocket("/alive", options=Options(ping_s=0.2, pong_s=2.0))
    def alive(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(message)
        seen.append(f"alive ended {socket.close_code} {socket.close_reason}")

    @app.websocket("/busy", options=Options(ping_s=0.2, pong_s=0.2, max_queued=10))
    def busy(request: Request, socket: WebSocket) -> None:
        gate("busy").wait()
        socket.send(str(len([socket.receive() for _ in range(50)])))

    @app.websocket("/waits", options=Options(ping_s=0.2, pong_s=0.2, close_s=0.2, max_queued=10))
    def waits(request: Request, socket: WebSocket) -> None:
        try:
            Event().wait()
        except Cancelled:
            seen.append("waits was cancelled")
            raise

    @app.websocket("/unread", options=Options(max_queued=65536))
    def unread(request: Request, socket: WebSocket) -> None:
        gate("unread").wait()
        for message in socket:
            socket.send(message[:1])

    @app.websocket("/floods", options=Options(max_unsent=100_000, age_s=0.5))
    def floods(request: Request, socket: WebSocket) -> None:
        try:
            while True:
                socket.send(bytes(50_000))
        except ConnectionClosed:
            seen.append("floods was cut off")

    @app.websocket("/tiny", options=Options(max_unsent=4000))
    def tiny(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(message)

    @app.websocket("/room", options=Options(max_unsent=200_000))
    def member(request: Request, socket: WebSocket) -> None:
        room.add(socket)
        try:
            for message in socket:
                if isinstance(message, bytes):
                    seen.append(f"shared {sorted(each.send_shared(Block(message * 50_000)) for each in room)}")
                    continue
                socket.send("before")
                block = Block(message)
                for each in room:
                    each.send_shared(block)
                socket.send("behind")
        finally:
            room.discard(socket)

    @app.websocket("/two-send")
    def two_send(request: Request, socket: WebSocket) -> None:
        tasks = [spawn(send_all, socket, name) for name in "ab"]
        for task in tasks:
            task.join()

    def send_all(socket: WebSocket, name: str) -> None:
        for i in range(200):
            socket.send(name + str(i) + "." * 20_000)
            if i % 50 == 0:
                sleep(0)

    @app.websocket("/two-receive")
    def two_receive(request: Request, socket: WebSocket) -> None:
        task = spawn(receive_one, socket)
        sleep(0)
        try:
            socket.receive()
        except RuntimeError as error:
            socket.send(str(error))
        task.join()

    @app.websocket("/left-behind")
    def left_behind(request: Request, socket: WebSocket) -> None:
        spawn(receive_one, socket)
        sleep(0)

    def receive_one(socket: WebSocket) -> None:
        try:
            seen.append(f"received {socket.receive()!r}")
        except ConnectionClosed:
            seen.append("receiver learned of the end")

    @app.websocket("/offload")
    def offloads(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(offload(str.upper, message))

    @app.websocket("/kinds")
    def kinds(request: Request, socket: WebSocket) -> None:
        for message in ("text", b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview"), "", b""):
            socket.send(message)
        wrong: tuple[Callable[[], object], ...] = (
            lambda: socket.send("\ud800"), lambda: socket.send(5), lambda: socket.ping(b"x" * 126),   # type: ignore[arg-type]
            lambda: Block(5), lambda: Block("\ud800"), lambda: socket.close(1000, "\ud800"))    # type: ignore[arg-type]
        for call in wrong:
            try:
                call()
            except (UnicodeEncodeError, TypeError, ValueError) as error:
                seen.append(type(error).__name__)
        socket.ping(b"there?")

    @app.websocket("/large", options=Options(max_message=1000, deflate=DeflateParameters()))
    def large(request: Request, socket: WebSocket) -> None:
        for message in socket:
            socket.send(str(len(message)))

    def parks(request: Request) -> object:
        sleep(0.01)
        name = request.query.get("name")
        return Response("no", 401) if name == "nobody" else name

    @app.websocket("/guarded", origins=("https://friend.example/",), authorize=parks)
    def guarded(request: Request, socket: WebSocket) -> None:
        socket.send(str(request.state))

    @app.websocket("/anywhere", origins=("*",))
    def anywhere(request: Request, socket: WebSocket) -> None:
        socket.send("welcome")

    return app
