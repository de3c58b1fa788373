"""The API as a process of its own, with a real redis-server, asked over real connections."""
from __future__ import annotations

import http.client
import json
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from hotpath.chat.config import SQLITE, ChatConfig, ChatLimits, DatabaseConfig, RedisConfig
from hotpath.core.config import Address, Rate, dump
from hotpath.core.serve.config import ErrorLog, Log
from tests.waiting import Process, free_port, running, wait_for

PASSWORD = "correct horse"
PATIENCE_S = 60.0

# Nobody is held up by a limit, unless a test is about one.
FREE = ChatLimits(send=Rate(100_000, 1), login=Rate(100_000, 1), connect=Rate(100_000, 1))

SERVE = """
import sys
from hotpath.chat.api.server import run
from hotpath.chat.config import ChatConfig
from hotpath.core.config import load
sys.exit(run(load(sys.argv[1], ChatConfig), new_epoch="--new-epoch" in sys.argv))
"""


@dataclass
class Answer:
    """One response."""

    status: int
    fields: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        assert (self.fields["content-type"] or "").split(";")[0] in ("application/json", "application/problem+json")
        return json.loads(self.body)

    def problem(self) -> Any:
        """The body of an error, well made."""
        assert self.fields["content-type"] == "application/problem+json"
        told = json.loads(self.body)
        assert told["status"] == self.status
        assert told["title"]
        assert told["detail"]
        assert b"Traceback" not in self.body
        return told

    def blamed(self) -> list[str]:
        """The fields that a 422 names."""
        assert self.status == 422, (self.status, self.body)
        errors = self.problem()["errors"]
        assert all(set(error) == {"field", "what"} and error["what"] for error in errors)
        return [error["field"] for error in errors]


@dataclass
class Caller:
    """Somebody who asks, with a token or without."""

    port: int
    token: str | None = None
    user: dict[str, Any] = field(default_factory=dict)
    _line: http.client.HTTPConnection | None = None

    @property
    def id(self) -> int:
        """Of the account."""
        return int(self.user["id"])

    def ask(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None,
        headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request, on a connection that is kept. `body` is sent as JSON, `raw` as it is."""
        fields = dict(headers)
        if self.token is not None and "Cookie" not in fields:
            fields.setdefault("Authorization", f"Bearer {self.token}")
        data = raw if body is None else json.dumps(body).encode()
        if data is not None:
            fields.setdefault("Content-Type", "application/json")
        if self._line is not None and self._line.sock is not None and select.select([self._line.sock], [], [], 0)[0]:
            self.hang_up()      # it was idle for too long, and the server closed it
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            self._line.request(method, path, body=data, headers=fields)
            response = self._line.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            self.hang_up()
            raise
        if response.will_close:
            self.hang_up()
        return answer

    def get(self, path: str, **more: Any) -> Answer:
        """GET."""
        return self.ask("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Answer:
        """POST."""
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: object = None, **more: Any) -> Answer:
        """PUT."""
        return self.ask("PUT", path, body, **more)

    def patch(self, path: str, body: object = None, **more: Any) -> Answer:
        """PATCH."""
        return self.ask("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        """DELETE."""
        return self.ask("DELETE", path, **more)

    def channel(self, kind: str = "public", **more: Any) -> int:
        """Make a channel; its id."""
        answer = self.post("/api/channels", {"name": new_name(), "kind": kind, **more})
        assert answer.status == 201, answer.body
        return int(answer.json()["id"])

    def send(self, channel: int, text: str = "hello", **more: Any) -> dict[str, Any]:
        """Post a message; it, as answered."""
        answer = self.post(f"/api/channels/{channel}/messages", {"client_msg_id": new_name(), "text": text, **more})
        assert answer.status == 201, answer.body
        message: dict[str, Any] = answer.json()
        return message

    def hang_up(self) -> None:
        """The next request goes over a new connection."""
        if self._line is not None:
            self._line.close()
            self._line = None


_numbers = count(1)


def new_name() -> str:
    """A name that nobody has."""
    return f"n{next(_numbers)}"


@dataclass
class Api:
    """A running server, and who is known there."""

    process: Process
    config: ChatConfig
    port: int
    people: dict[str, Caller] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Of its own pages."""
        return f"http://127.0.0.1:{self.port}"

    def caller(self, token: str | None = None) -> Caller:
        """Somebody new, who is nobody yet."""
        return Caller(self.port, token)

    def person(self, name: str | None = None) -> Caller:
        """Somebody with an account, logged in. The same name is the same one."""
        if name in self.people:
            return self.people[name]
        caller = self.caller()
        made = caller.post("/api/users", {"name": name or new_name(), "password": PASSWORD})
        assert made.status == 201, made.body
        caller.user = made.json()
        log_in(caller)
        if name is not None:
            self.people[name] = caller
        return caller

    def redis(self) -> redis.Redis:
        """A client of its Redis."""
        return redis.Redis.from_url(self.config.redis.url)


def log_in(caller: Caller) -> dict[str, Any]:
    """A new session for whose account it is."""
    answer = caller.ask("POST", "/api/login", {"name": caller.user["name"], "password": PASSWORD})
    assert answer.status == 200, answer.body
    said: dict[str, Any] = answer.json()
    caller.token = said["token"]
    return said


def one_engine(test: Callable[..., None]) -> Callable[..., None]:
    """A test that no database answers: it runs with SQLite alone. A module says ONE_ENGINE = True."""
    test.one_engine = True      # type: ignore[attr-defined]
    return test


@contextmanager
def serving(config: ChatConfig, *flags: str) -> Iterator[Api]:
    """The API with this configuration while the block runs; it must not say that something failed."""
    folder = Path(config.data).parent
    file = folder / f"{new_name()}.yaml"
    file.write_text(dump(config))
    with running([sys.executable, "-P", "-c", SERVE, str(file), *flags]) as process:
        match = process.wait_for_output(r"^ready: pid \d+, 127\.0\.0\.1:(\d+)$")
        yield Api(process, config, int(match[1]))
        said = process.read()
        assert "Traceback" not in said, said
        assert "ERROR" not in said, said


@contextmanager
def running_redis(port: int | None = None) -> Iterator[tuple[str, Process]]:
    """(its URL, the process): a redis-server that keeps nothing."""
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port = port or free_port()
    with running([program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]) as process:
        url = f"redis://127.0.0.1:{port}/0"

        def answers() -> bool:
            with suppress(redis.RedisError), redis.Redis.from_url(url) as client:
                return bool(client.ping())
            return False

        wait_for(answers, "redis-server")
        yield url, process


def make_config(folder: Path, redis_url: str, database_url: str = SQLITE, **more: Any) -> ChatConfig:
    """A configuration on a free port, with its data in `folder`."""
    config = ChatConfig(
        data=str(folder / "data"), listen=(Address("127.0.0.1", 0),), limits=FREE, redis=RedisConfig(url=redis_url),
        database=DatabaseConfig(url=database_url), log=Log(access=None, error=ErrorLog()))
    return msgspec.structs.replace(config, **more)


def stopped(api: Api) -> int:
    """SIGTERM; the exit status."""
    api.process.popen.send_signal(signal.SIGTERM)
    return api.process.wait()


def raw(port: int, data: bytes, *, close: bool = True) -> bytes:
    """What the server says to these bytes until it closes, or until we have closed our side of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(data)
        if close:
            sock.shutdown(socket.SHUT_WR)
        said = b""
        while piece := sock.recv(65536):
            said += piece
        return said
