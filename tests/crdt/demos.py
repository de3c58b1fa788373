"""A running `hotpath-crdt demo`, and its three replicas."""
from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.waiting import Process, free_port, running, wait_for

DEMO = [sys.executable, "-P", "-m", "hotpath.crdt", "demo"]
# Three interpreters and their extension modules, on a machine that others use too.
UP_WITHIN_S = 60.0
NAMES = ("a", "b", "c")


class Demo:
    """The command, and where each replica is."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.page = process.wait_for_output(r"^  (http://\S+/)  the page", UP_WITHIN_S)[1]
        self.urls = dict(re.findall(r"\b([abc]) (http://[^\s,;]+)", process.wait_for_output(r"replicas: .*")[0]))

    def ask(self, name: str, method: str, path: str, body: object = None) -> Any:
        """The JSON that a replica answers. Raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            self.urls[name] + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            text = response.read()
        return json.loads(text) if text else None

    def put(self, name: str, key: str, value: object) -> str:
        """The stamp of a write at one replica."""
        return str(self.ask(name, "PUT", f"/kv/{quote(key, safe='')}?upsert=true", value)["stamp"])

    def items(self, name: str) -> dict[str, object]:
        """What one replica holds."""
        return {item["key"]: item["value"] for item in self.ask(name, "GET", "/kv?limit=1000")["items"]}

    def cut(self, *names: str) -> None:
        """Cut these off from everybody; all of them when none is named."""
        for name in names or NAMES:
            self.ask(name, "POST", "/drill/cut", {"peers": []})

    def heal(self) -> None:
        """Heal every link, and wait until all hold the same."""
        for name in NAMES:
            self.ask(name, "POST", "/drill/heal", {"peers": []})
        self.wait_until_equal()

    def clear(self) -> None:
        """Remove every key, everywhere."""
        self.heal()
        self.ask("a", "POST", "/batch", {"ops": [{"op": "remove", "key": key} for key in self.items("a")]})
        self.wait_until_equal()

    def wait_until_equal(self) -> None:
        """Return once all hold the same."""
        wait_for(lambda: len({self.ask(name, "GET", "/sync/digest")["root"] for name in NAMES}) == 1, "equal roots")

    def pids(self) -> dict[str, int]:
        """Of each replica's process, by its command line."""
        found = {}
        for pid in children(self.process.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            found[words[words.index("--replica") + 1]] = pid
        return found


def children(pid: int) -> list[int]:
    """The pids of its child processes."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def demo_up(folder: Path, *flags: str, command: Sequence[str] = DEMO) -> Iterator[Demo]:
    """A demo on free ports while the block runs, its temporary files in `folder`; then it is asked to end.

    Not on port 0: what the demo finds free, an outgoing connection could take before its replicas do.
    """
    env = {**os.environ, "TMPDIR": str(folder)}
    with running([*command, "--listen", f"127.0.0.1:{free_port()}", *flags], env=env) as process:
        yield Demo(process)
        if process.popen.poll() is None:
            process.popen.terminate()
            process.wait()
