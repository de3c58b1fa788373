"""Scenarios over HTTP: which there are, and one played to its end."""
from __future__ import annotations

from hotpath.core.serve import Request, Response, Router
from hotpath.core.tasks import offload, spawn
from hotpath.core.tasks.sync import Semaphore
from hotpath.locking.engine import engine
from hotpath.locking.scenarios import SCENARIOS, Result, play
from hotpath.locking.scenarios.playing import find

from .problems import Refusal, answered, retry_after

# Requests of a worker for one, which is played after the other: each takes connections of its own.
WAITING = 16


class Plays:
    """The handlers of `/scenarios`."""

    def __init__(self, url: str) -> None:
        """`url`: of the database that is played on."""
        self._url = url
        self._waiting = 0

    def routes(self, app: Router) -> None:
        """Add them."""
        app.add("GET", "/scenarios", self.listing)
        app.add("POST", "/scenarios/{name}", answered(self.play))

    def open(self) -> None:
        """In a worker."""
        self._turn = Semaphore(1)
        self._engine = engine(self._url, pool_size=1)

    def close(self) -> None:
        """Behind the last play."""
        self._engine.dispose()

    def listing(self, request: Request) -> Response:
        """200."""
        return Response.json({"scenarios": [
            {"name": one.name, "title": one.title, "about": one.about, "policies": list(one.policies)}
            for one in SCENARIOS.values()]})

    def play(self, request: Request, name: str) -> Response:
        """200 with every step; 404; 422: no such policy; 503: too many want to see one."""
        policy = request.query.get("policy", "")
        find(name, policy)
        if self._waiting >= WAITING:
            raise Refusal(503, "others wait for a scenario already", headers=(retry_after(1),), outcome="none")
        self._waiting += 1
        try:
            self._turn.acquire()
        except BaseException:       # its client has gone
            self._waiting -= 1
            raise
        # A task of its own: with a client that goes now, its turn would be given on while the thread still plays.
        result = spawn(lambda: self._played(name, policy), name="play").result()
        return Response.json(result.as_json(steps=True))

    def _played(self, name: str, policy: str) -> Result:
        try:
            return offload(play, self._engine, name, policy)
        finally:
            self._waiting -= 1
            self._turn.release()
