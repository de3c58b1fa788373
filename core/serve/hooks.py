"""What an application does besides answering requests, and when."""
from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hotpath.core.config import Address

from .config import ServeConfig
from .exchange import Server
from .request import Request
from .response import Response

Hook = TypeVar("Hook", bound=Callable[[], object])
Reloader = TypeVar("Reloader", bound=Callable[..., object])


class Hooks:
    """Functions that each process that serves calls, in the order of this list.

        at_worker   before anything, with the Server
        at_open     in a task: may wait, and offload what takes long; nothing is served before the last has returned
        at_start    in tasks of their own, once it serves
        at_reload   in a task: the configuration was read again (only where a server is alone)
        at_drain    no more connections are taken: end what would never end by itself
        at_stop     the last request is over, every task ended, the loop closed: may block (a worker's master kills it a
                    second behind the drain's deadline); the last added comes first

    What `at_open` raises ends the process with status 1, and then nothing of `at_stop` is called.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.attachers: list[Callable[[Server], object]] = []
        self.openers: list[Callable[[], object]] = []
        self.starters: list[Callable[[], object]] = []
        self.reloaders: list[Callable[[ServeConfig], object]] = []
        self.drainers: list[Callable[[], object]] = []
        self.stoppers: list[Callable[[], object]] = []
        # Why it should get no requests although it serves: /healthz answers 503 with the reason. None: it may.
        self.ready: Callable[[], str | None] | None = None
        # Asked before anything else is answered, be it a handler's, 404, 405 or a 101: what it answers is sent instead,
        # None: go on. Must not wait. Only 503 while the application opens comes before it.
        self.gate: Callable[[Request], Response | None] | None = None
        # Given every answer but a 101 before it leaves; what it returns is sent. Must not wait.
        self.finish: Callable[[Request, Response], Response] | None = None
        # Asked before every handler but that of /healthz; what it answers is sent instead. None: go on. A websocket
        # has `authorize`.
        self.guard: Callable[[Request], Response | None] | None = None
        # Where the application's routes begin, "/ide" say: /healthz and /metrics are there, too.
        self.base = ""
        # Where it listens, once bound: a port 0 is the one that it became.
        self.bound: tuple[Address, ...] = ()
        # More families for /metrics, in Prometheus' text format.
        self.exposed: Callable[[], str] | None = None

    def at_worker(self, function: Callable[[Server], object]) -> None:
        """Give the function each worker's Server before it serves: C code may then answer heads by itself."""
        self.attachers.append(function)

    def at_open(self, function: Hook) -> Hook:
        """Run the function below in a task of each worker before it serves, one after the other.

        A server that is alone answers 503 meanwhile; a worker, or the successor of a server, lets connections wait.
        """
        self.openers.append(function)
        return function

    def at_start(self, function: Hook) -> Hook:
        """Run the function below in a task of each worker, once it serves."""
        self.starters.append(function)
        return function

    def at_reload(self, function: Reloader) -> Reloader:
        """Call the function below with the new configuration at HUP, in a task.

        What it raises refuses the reload. Nothing of the server's own has changed by then, but what the functions
        before it did stays: let the last one be the only one that can fail, or check first.
        """
        self.reloaders.append(function)
        return function

    def at_drain(self, function: Hook) -> Hook:
        """Call the function below when a drain begins, in the loop: it must not wait."""
        self.drainers.append(function)
        return function

    def at_stop(self, function: Hook) -> Hook:
        """Call the function below at the end, before the process exits."""
        self.stoppers.append(function)
        return function
