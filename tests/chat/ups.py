"""A running `hotpath-chat up`, and those who talk to it over plain HTTP."""
from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.waiting import Process, is_alive, running, wait_for

CHAT = [sys.executable, "-P", "-m", "hotpath.chat"]
# Four interpreters and all they import, on a machine that others use too.
UP_WITHIN_S = 60.0


class Answer(NamedTuple):
    """What the API said."""

    status: int
    body: Any


class Up:
    """The command, and where its parts are."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        process.wait_for_output(r"^ready: pid \d+, ", UP_WITHIN_S)

    @property
    def where(self) -> dict[str, Any]:
        """What run.json says now."""
        return dict(json.loads((self.folder / "run.json").read_text()))

    @property
    def url(self) -> str:
        """Of the API."""
        return str(self.where["api"]["url"])

    def pids(self) -> list[int]:
        """Of all parts, by run.json."""
        where = self.where
        redis = [where["redis"]["pid"]] if where["redis"]["pid"] is not None else []
        return [*where["api"]["pids"], *(each["pid"] for each in where["gateways"]), *redis]

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
        """The API's answer."""
        return ask(self.url, method, path, body, token=token)

    def user(self, name: str) -> tuple[int, str]:
        """A new account: its id and its session's token."""
        made = self.ask("POST", "/api/users", {"name": name, "password": "correct horse"})
        assert made.status == 201, made
        got = self.ask("POST", "/api/login", {"name": name, "password": "correct horse"})
        assert got.status == 200, got
        return made.body["id"], got.body["token"]

    def ended(self, pids: Sequence[int]) -> None:
        """Return once none of these runs."""
        wait_for(lambda: not any(map(is_alive, pids)), f"the end of {pids}")


def ask(url: str, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
    """An API's answer, whatever its status."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
            return Answer(response.status, json.loads(text) if text else None)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.loads(error.read() or b"null"))


@contextmanager
def chat_up(folder: Path, *flags: str) -> Iterator[Up]:
    """A chat on free ports while the block runs, its data in `folder`; then it is asked to end."""
    command = [*CHAT, "up", "--data", str(folder), "--listen", "127.0.0.1:0", *flags]
    with running(command) as process:
        yield Up(process, folder)
        if process.popen.poll() is None:
            process.popen.terminate()
            process.wait(UP_WITHIN_S)
