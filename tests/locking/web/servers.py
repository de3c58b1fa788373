"""`hotpath-locking serve` as a process, to ask over HTTP."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotpath.core.serve.testing import Served, launched
from tests.clients import Answer, Client, Fields
from tests.waiting import wait_for

COMMAND = [sys.executable, "-P", "-m", "hotpath.locking", "serve"]
JSON = ("Content-Type", "application/json")
CONTENT = {"title": "t", "body": "b"}


class Server:
    """One that runs; `url`: of its database, where a test asks it, too."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.url = ""

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.served.address

    def ask(self, method: str, target: str, body: object = None, fields: Fields = ()) -> Answer:
        """One request on a connection of its own, with a JSON body if there is one."""
        with Client(self.address, patience_s=60) as client:
            return asked(client, method, target, body, fields)

    def get(self, target: str, *fields: tuple[str, str]) -> Answer:
        """A GET."""
        return self.ask("GET", target, None, fields)

    def item(self, title: str = "t", body: str = "") -> str:
        """A new one: its path."""
        answer = self.ask("POST", "/items", {"title": title, "body": body})
        assert answer.status == 201, answer.body
        return str(answer.value("location"))

    def lock(self, item: str, owner: str = "ann", **more: object) -> str:
        """Its lock, taken: the token."""
        answer = self.ask("POST", f"{item}/lock", {"owner": owner, **more})
        assert answer.status == 201, answer.body
        return str(answer.value("lock-token"))

    def put(self, item: str, match: str | None = "*", token: str | None = None, content: object = None) -> Answer:
        """A PUT of it."""
        return self.ask("PUT", item, content or CONTENT, conditions(match, token))

    def delete(self, item: str, match: str | None = "*", token: str | None = None) -> Answer:
        """A DELETE of it."""
        return self.ask("DELETE", item, None, conditions(match, token))

    def increment(self, counter: str, policy: str) -> Answer:
        """One more."""
        return self.ask("POST", f"/counters/{counter}/increment?policy={policy}")

    def value(self, counter: str) -> int:
        """What a counter has come to."""
        return int(self.get(f"/counters/{counter}").json()["value"])

    def metrics(self) -> dict[str, float]:
        """Each sample of /metrics."""
        lines = self.get("/metrics").body.decode().splitlines()
        return {name: float(value) for name, _, value in (
            line.rpartition(" ") for line in lines if not line.startswith("#"))}


def conditions(match: str | None, token: str | None) -> list[tuple[str, str]]:
    """The fields of a write."""
    return [(name, value) for name, value in (("If-Match", match), ("Lock-Token", token)) if value is not None]


def asked(client: Client, method: str, target: str, body: object = None, fields: Fields = ()) -> Answer:
    """A request on a connection that is there, with a JSON body if there is one."""
    if body is None:
        return client.ask(method, target, fields)
    return client.ask(method, target, [JSON, *fields], json.dumps(body).encode())


@contextmanager
def serving(*flags: str, workers: int = 2, listen: str = "127.0.0.1:0",
            env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """One while the block runs."""
    with launched([*COMMAND, "--listen", listen, "--workers", str(workers), *flags], env=env) as served:
        yield Server(served)


def configured(folder: Path, text: str) -> list[str]:
    """The flags for a file with this text."""
    file = folder / "locking.yaml"
    file.write_text(text)
    return ["--config", str(file)]


def problem_of(answer: Answer, status: int) -> Any:
    """The problem that it tells of, checked."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.value("content-type") == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["detail"]
    return told


def healthy(server: Server) -> None:
    """Wait until it is."""
    wait_for(lambda: server.get("/healthz").status == 200, "it to be healthy")
