"""Three real `hotpath-crdt serve` processes, each pair joined by two links that can be cut."""
from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from tests.crdt.linkproxy import Link, State
from tests.crdt.oracle import Write, state_of_delta
from tests.waiting import DEADLINE_S, free_port, wait_for

COMMAND = (sys.executable, "-P", "-m", "hotpath.crdt", "serve")
NAMES = ("a", "b", "c")
JSON = "application/json"
OCTETS = "application/octet-stream"

# Nobody waits that long for an answer from a healthy server, whatever the machine does meanwhile.
TIMEOUT_S = 10.0


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class NoAnswer(Exception):
    """The connection failed: the request may have been done or not."""


class Client:
    """One person's connection to one server, opened again when it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: bytes | None = None, **fields: str) -> Reply:
        """Raises NoAnswer."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()},
                         response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NoAnswer(repr(error)) from error

    def close(self) -> None:
        """Until the next question."""
        self._connection.close()


def path_of(key: bytes, query: str = "") -> str:
    """`/kv/K`."""
    return f"/kv/{quote(key, safe='')}{query}"


class Server:
    """One replica: its process, which comes and goes, and its folder, which stays."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.name, self.folder = name, folder
        self.port = free_port()
        self.settings = {"replica": name, "listen": f"127.0.0.1:{self.port}", "data": str(folder / "data"),
                         "log": {"access": "off"}, **settings}
        self.client = Client(self.port)
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    def start(self) -> None:
        """Returns once it said that it is ready to be asked."""
        config, log = self.folder / "replica.yaml", self.folder / "log"
        config.write_text(json.dumps(self.settings))        # JSON is YAML
        # A file: nobody reads along, and a pipe that is full would hold the server up.
        with log.open("wb") as out:
            self.process = subprocess.Popen([*COMMAND, "--config", str(config)], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT)
        process = self.process

        def is_ready() -> bool:
            text = log.read_bytes()
            assert process.poll() is None, f"{self.name} ended with {process.returncode}: {text.decode()}"
            return b"\nready:" in b"\n" + text

        wait_for(is_ready, f"{self.name} to be ready")

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process = None
        self.client.close()
        return status

    def ask(self, method: str, path: str, body: bytes | None = None, **fields: str) -> Reply:
        """Raises NoAnswer."""
        return self.client.ask(method, path, body, **fields)

    def is_able(self) -> bool:
        """Whether it serves."""
        with suppress(NoAnswer):
            return self.ask("GET", "/healthz").status == 200
        return False

    def summary(self) -> dict[str, Any]:
        """Root, counts, clock, floor."""
        answer: dict[str, Any] = self.ask("GET", "/sync/digest", accept=JSON).json()
        return answer

    def state(self) -> dict[bytes, Write]:
        """The greatest write of every key."""
        reply = self.ask("GET", "/snapshot", accept=OCTETS)
        assert reply.status == 200, reply
        return state_of_delta(reply.body)


class Trio:
    """Three servers; `links[a, b]` carries what a asks of b."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """`settings` are sections of the configuration, of all."""
        common = {"sync": {"interval": "100ms", "timeout": "1s"}, **settings}
        self.servers = {name: Server(name, folder / name, common) for name in NAMES}
        self.links = {(one, other): Link(self.servers[other].port) for one in NAMES for other in NAMES if one != other}
        for name, server in self.servers.items():
            server.settings["peers"] = [
                {"name": other, "url": f"http://127.0.0.1:{self.links[name, other].port}"}
                for other in NAMES if other != name]

    def __enter__(self) -> Self:
        try:
            for server in self.servers.values():
                server.start()
            for server in self.servers.values():
                wait_for(server.is_able, f"{server.name} to serve")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all."""
        for link in self.links.values():
            link.close()
        for server in self.servers.values():
            if server.process is not None:
                server.kill()

    def partition(self, one: str, other: str, there: State, back: State) -> None:
        """Set both links of a pair."""
        self.links[one, other].set(there)
        self.links[other, one].set(back)

    def heal(self) -> None:
        """Every link is open, every server runs and serves."""
        for link in self.links.values():
            link.delay_s = 0.0
            link.set(State.OPEN)
        for server in self.servers.values():
            if server.process is None:
                server.start()
        for server in self.servers.values():
            wait_for(server.is_able, f"{server.name} to serve")

    def agree(self, kills: int = 0) -> None:
        """Return once all three hold the same; nobody writes any more. Each kill may have put a clock 2 s ahead, and
        who is further ahead than the drift bound is believed only when time has caught up."""
        wait_for(lambda: len({server.summary()["root"] for server in self.servers.values()}) == 1, "three equal roots",
                 DEADLINE_S + 2 * kills)
