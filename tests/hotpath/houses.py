"""A running `hotpath up`, what its parts hold, and who they are.

    with house_up(folder) as house:
        house.ask("GET", "/status.json")
"""
from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chat.someone import Answer as ChatAnswer
from tests.chat.someone import Someone
from tests.clients import Answer, CutShort, fetch
from tests.ide.servers import Ide, Screen
from tests.waiting import Process, is_alive, running, wait_for

UP = [sys.executable, "-P", "-m", "hotpath", "up"]
# A dozen interpreters and their extension modules, on a machine that others use too.
UP_WITHIN_S = 90.0
JSON = [("Content-Type", "application/json")]
ALL = ("proxy", "chat", "ide", "crdt", "shard", "locking")


class House:
    """One that is up."""

    def __init__(self, process: Process, data: Path, temporary: Path) -> None:
        self.process = process
        self.data = data
        self.temporary = temporary
        self.url = process.wait_for_output(r"^  (http://\S+?)/ +what runs", UP_WITHIN_S)[1]
        self.address = self.url.removeprefix("http://")

    def ask(self, method: str, path: str, body: object = None, fields: Sequence[tuple[str, str]] = ()) -> Answer:
        """A request at the door; the body goes as JSON."""
        self.process.read()         # lest it drops lines
        given = None if body is None else json.dumps(body).encode()
        typed = JSON if body is not None else []
        return fetch(self.address, path, method, [*typed, *fields], given, host=self.address)

    def got(self, path: str) -> Any:
        """What GET answers, a 200, as JSON."""
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer)
        return answer.json()

    def part(self, name: str) -> dict[str, Any]:
        """What the status says of it; nothing while the door does not answer."""
        with suppress(OSError, CutShort):
            found: dict[str, Any] = next(part for part in self.got("/status.json")["parts"] if part["name"] == name)
            return found
        return {"well": False, "restarts": -1}

    # ---- its processes

    def processes(self) -> dict[int, str]:
        """The command line of every process below it, by pid."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(folder.name)] = parent_of(int(folder.name))
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        lines = {}
        for pid in found - {self.process.pid}:
            with suppress(FileNotFoundError, ProcessLookupError):
                lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return lines

    def pid_of(self, name: str) -> int:
        """Of the process that was started as this part; 0 while there is none."""
        file = str(self.data / "config" / f"{name}.yaml")
        for pid, line in self.processes().items():
            with suppress(FileNotFoundError, ProcessLookupError):       # another one, which ends just now
                if file in line and parent_of(pid) == self.process.pid:
                    return pid
        return 0

    def kill(self, name: str) -> None:
        """With -9; returns when it is gone."""
        pid = wait_for(lambda: self.pid_of(name), name)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), f"the end of {name}")

    def stop(self) -> None:
        """As an init system does; it must be clean."""
        self.process.popen.terminate()
        assert self.process.wait(60) == 0, self.process.output[-3000:]

    # ---- who uses it

    def someone(self, name: str = "") -> Guest:
        """A person in the chat."""
        return Guest(self.url, name or f"p{uuid.uuid4().hex[:9]}")

    @property
    def ide(self) -> FrontIde:
        """The IDE behind the door, with its token."""
        return FrontIde(self)


class Guest(Someone):
    """Somebody who comes to the chat through the door."""

    def ask(self, method: str, path: str, body: object = None, **headers: str | None) -> ChatAnswer:
        """Below /chat."""
        return super().ask(method, f"/chat{path}", body, **headers)


class FrontIde(Ide):
    """The IDE as it is seen through the door."""

    def __init__(self, house: House) -> None:
        self.address, self.base = house.address, "/ide"
        self.url = f"{house.url}/ide"
        self.token = (house.data / "ide" / "token").read_text().strip()
        self.bearer = [("Authorization", f"Bearer {self.token}")]


def shell(ide: Ide, project: Mapping[str, Any]) -> Screen:
    """A terminal of the project, through its websocket."""
    terminal = ide.right(201, "POST", f"/api/projects/{project['id']}/terminals", {"cols": 80, "rows": 24})
    return Screen(ide, project["id"], terminal["id"])


def parent_of(pid: int) -> int:
    """The pid of its parent. Raises FileNotFoundError or ProcessLookupError."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead a house of a test to somebody's engines."""
    return {name: value for name, value in environ.items() if not re.match("HOTPATH_(MYSQL|REDIS)$|DOCKER_HOST$", name)}


@contextmanager
def house_up(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[House]:
    """One with its data in `folder`/data while the block runs."""
    data = folder / "data"
    command = [*UP, "--listen", "127.0.0.1:0", "--data", str(data), *words]
    # Not below `folder`: the path of a unix socket has 107 bytes.
    with (tempfile.TemporaryDirectory(prefix="hp-") as temporary,
          running(command, env={**without(os.environ), "TMPDIR": temporary, **(env or {})}) as process):
        yield House(process, data, Path(temporary))
        if process.popen.poll() is None:
            process.popen.terminate()
            process.wait(60)
