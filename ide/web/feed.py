"""The events socket of a project, and which sockets end with a session."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from hotpath.core.errors import ConnectionClosed
from hotpath.core.serve import Options, Request, Response, Router, WebSocket
from hotpath.core.tasks import spawn
from hotpath.ide.errors import NotFound, Refusal
from hotpath.ide.events import Subscription
from hotpath.ide.terminal import Terminal, add_socket_route
from hotpath.ide.workspace.project import Project

from .asked import number_in, query_of
from .gate import Credential
from .problems import told
from .routes import PROJECT, Routes

SIGNED_OUT = 4401
GOING_AWAY = 1001

# A page says nothing here; what it gets is small, and what it does not take is bounded twice: here and by the bus.
OPTIONS = Options(4096, max_unsent=4 * 1024 * 1024, max_queued=4096)


@dataclass(frozen=True, slots=True)
class Opening:
    """What an upgrade to events was for."""

    project: Project
    since: int | None
    credential: object


class Feed:
    """Each project's `/events`, and the gate of its terminals' sockets."""

    def __init__(self, routes: Routes) -> None:
        self._workspace = routes.workspace
        self._base = routes.base
        self._open: dict[WebSocket, str] = {}      # to the project's id
        self.sent = 0                   # messages, for metrics
        self._add(routes.app)

    def __len__(self) -> int:
        return len(self._open)

    def _add(self, app: Router) -> None:
        # The gate has judged the origin already, and knows of fronts.
        add = app.websocket(f"{self._base}{PROJECT}/events", origins=("*",), authorize=self._find, options=OPTIONS)
        add(self.events)
        add_socket_route(app, f"{self._base}{PROJECT}/terminals/{{terminal}}/socket", self.terminal, ends_with)

    def close(self) -> None:
        """The server ends: its pages come back to the next."""
        for socket in tuple(self._open):
            socket.close(GOING_AWAY)

    def gone(self, id: str) -> None:
        """The project is in the trash: should it come back, its pages begin anew with it."""
        for socket in [socket for socket, project in self._open.items() if project == id]:
            socket.close(GOING_AWAY, "the project was deleted")

    # Events

    def _find(self, request: Request) -> object:
        try:
            project = self._workspace.get(request.path.removeprefix(self._base).split("/")[3])
            since = number_in(query_of(request), "since", 0, 10**15)
        except Refusal as refusal:
            return told(refusal)
        return Opening(project, since, request.state)

    def events(self, request: Request, socket: WebSocket, id: str) -> None:
        """Hello, then what happens, until one of the two goes."""
        opening = request.state
        assert isinstance(opening, Opening)
        self._open[socket] = id
        request.state = opening.credential
        let_go = ends_with(request, socket.close)
        subscription: Subscription | None = None
        try:
            subscription = opening.project.subscribe(opening.since)
            spawn(listen, socket, subscription, name=f"ide events {id}")
            self._tell(socket, opening.project, subscription)
        except ConnectionClosed:
            pass
        finally:
            if subscription is not None:
                subscription.close()
            let_go()
            del self._open[socket]

    def _tell(self, socket: WebSocket, project: Project, subscription: Subscription) -> None:
        seq = max(0, project.bus.seq - subscription.waiting)
        send(socket, {"type": "hello", "seq": seq, "project": project.json()})
        while (message := subscription.next()) is not None:
            send(socket, message)
            self.sent += 1

    # Terminals

    def terminal(self, request: Request, id: str, terminal: str) -> Terminal | Response:
        """Which terminal an upgrade is for, or why it is refused."""
        try:
            project = self._workspace.get(id)
            found = project.terminals.get(terminal)
            if found is None:
                raise NotFound("there is no such terminal")
        except Refusal as refusal:
            return told(refusal)
        project.touch()
        return found


def listen(socket: WebSocket, subscription: Subscription) -> None:
    """In a task: pages say nothing, but they go."""
    for _message in socket:
        pass
    subscription.close()


def send(socket: WebSocket, message: object) -> None:
    """One message."""
    socket.send(msgspec.json.encode(message).decode())


def ends_with(request: Request, close: Callable[[int, str], object]) -> Callable[[], None]:
    """Close a socket when its session is over; what is answered must be called when the socket has ended."""
    credential = request.state
    session = credential.session if isinstance(credential, Credential) else None
    if session is None:
        return lambda: None

    def signed_out() -> None:
        close(SIGNED_OUT, "signed out")

    session.sockets.add(signed_out)
    return lambda: session.sockets.discard(signed_out)
