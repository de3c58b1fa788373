"""A server with nothing but terminals, for their tests: what the IDE's web part does, without projects."""
from __future__ import annotations

import os
import time

from hotpath.core.serve import Request, Response, Router, problem
from hotpath.core.tasks import spawn
from hotpath.ide.config import TerminalConfig
from hotpath.ide.errors import TooMany
from hotpath.ide.terminal import Terminal, Terminals, add_socket_route

from .ptys import OnSocket, OnTerminal, Program

# Small, so that a test sees what happens at their ends.
RING, WINDOW = 256 * 1024, 64 * 1024


def make(ring: int = RING, window: int = WINDOW, most: int = 100) -> Router:
    """POST /terminals {argv, …}, GET and DELETE; WS /projects/p/terminals/T/socket; GET /process."""
    app = Router()
    changes: list[float] = []
    terminals = Terminals(TerminalConfig(ring=ring, window=window, max=most), lambda: changes.append(time.monotonic()))
    programs: dict[str, Program] = {}

    def find(request: Request, id: str, terminal: str) -> Terminal | Response:
        if request.headers.get("x-refused") is not None:
            return problem(401, detail="not you")
        return terminals.get(terminal) or kept.get(terminal) or problem(404, detail="no such terminal")

    kept: dict[str, Terminal] = {}      # by whoever found it before it was deleted
    add_socket_route(app, "/projects/{id}/terminals/{terminal}/socket", find)

    @app.route("POST", "/terminals")
    def create(request: Request) -> Response:
        wanted = request.json(dict)
        try:
            terminals.room()
        except TooMany as error:
            return problem(error.status, detail=error.detail)
        size = wanted.get("cols", 80), wanted.get("rows", 24)
        early = wanted.get("early", "").encode()
        program = (OnSocket(wanted["argv"], early) if wanted.get("socket") else
                   OnTerminal(wanted["argv"], *size, early))
        terminal = terminals.add(program, wanted.get("kind", "shell"), "test", *size)
        programs[terminal.id] = program
        if wanted.get("keep"):
            kept[terminal.id] = terminal
        return Response.json({**terminal.json(), "pid": program.pid}, 201)

    @app.route("GET", "/terminals")
    def listing(request: Request) -> Response:
        return Response.json({
            "terminals": terminals.json(), "alive": terminals.alive, "last_used": terminals.last_used,
            "now": time.monotonic(), "changes": len(changes)})

    @app.route("GET", "/terminals/{id}")
    def show(request: Request, id: str) -> Response:
        terminal = terminals.get(id) or kept.get(id)
        if terminal is None:
            return problem(404, detail="no such terminal")
        return Response.json({**terminal.json(), "clients": terminal.relay.clients, "paused": terminal.relay.paused,
                              "sizes": programs[id].sizes})

    @app.route("DELETE", "/terminals/{id}")
    def delete(request: Request, id: str) -> Response:
        spawn(terminals.close, id)
        return Response(b"", 204)

    @app.route("DELETE", "/terminals")
    def delete_all(request: Request) -> Response:
        terminals.close_all()
        return Response(b"", 204)

    @app.route("GET", "/process")
    def process(request: Request) -> Response:
        with open("/proc/self/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return Response.json({"rss": int(fields["RssAnon"].split()[0]) * 1024, "fds": len(os.listdir("/proc/self/fd"))})

    return app
