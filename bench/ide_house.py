"""hotpath-ide as it is served, and node-pty with ws beside it."""
from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hotpath.core.config import Address
from hotpath.core.probing import is_well

from .harness import BenchmarkError
from .ide_sockets import COLS, ROWS, Plain, Socket, Term
from .machine import first_line
from .processes import Server, StartError, free_ports

HERE = Path(__file__).resolve().parent
TOKEN = "bench-token"
FIELDS = {"Authorization": f"Bearer {TOKEN}"}
NODE_PACKAGES = {"@lydell/node-pty": "1.1.0", "ws": "8.18.3"}
NODE = "node-pty + ws"
IMAGE = "hotpath/python:local"
FRESH_S = 10.0          # that a connection may rest

CONFIG = """\
listen: 127.0.0.1:{port}
preview: {{listen: "127.0.0.1:{preview}"}}
data: {folder}/data
auth: {{token: {token}}}
sandbox: {{kind: {kind}, pids: 4096}}
terminal: {{shell: [bash, --norc, --noprofile, -i], max: 256}}
limits: {{projects: 1000}}
log: {{access: null}}
templates:
  bench: {{title: Bench, image: "hotpath/python:local", setup: "", run: "true", install: "true {{packages}}"}}
"""


class Ide:
    """A server that runs."""

    def __init__(self, server: Server, data: Path) -> None:
        self.pid, self.port, self.data = server.pid, server.port, data
        self.asked_s = 0.0
        self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: object = None, fields: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401  # JSON
        """What it answers, as JSON where it is. BenchmarkError for a bad status."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        typed = {} if isinstance(body, bytes) or body is None else {"Content-Type": "application/json"}
        if time.monotonic() > self.asked_s + FRESH_S:
            self.http.close()       # the server may have, too
        self.http.request(method, path, raw, {**FIELDS, **typed, **(fields or {})})
        answer = self.http.getresponse()
        said = answer.read()
        self.asked_s = time.monotonic()
        if answer.status >= 300:
            raise BenchmarkError(f"{method} {path}: {answer.status} {said[:300]!r}")
        self.etag = answer.headers.get("ETag", "")
        return json.loads(said) if said and "json" in (answer.headers.get("Content-Type") or "") else said

    def project(self, name: str) -> str:
        """A new one, running; its id."""
        made = self.ask("POST", "/api/projects", {"name": name, "template": "bench", "start": True})
        if made["state"] != "running":
            raise BenchmarkError(f"the project is {made['state']}: {made['error']}")
        return str(made["id"])

    def shell(self, project: str) -> Term:
        """A new shell of it, attached."""
        made = self.ask("POST", f"/api/projects/{project}/terminals", {"cols": COLS, "rows": ROWS})
        return self.term(project, made["id"])

    def run(self, project: str, command: str) -> Term:
        """A command of it, attached."""
        made = self.ask("POST", f"/api/projects/{project}/run", {"command": command})
        return self.term(project, made["id"])

    def term(self, project: str, id: str) -> Term:
        """A client of a terminal."""
        return Term(self.port, f"/api/projects/{project}/terminals/{id}/socket", FIELDS)

    def events(self, project: str) -> Socket:
        """Its events."""
        return Socket(self.port, f"/api/projects/{project}/events", FIELDS)


@contextmanager
def ide(kind: str) -> Iterator[Ide]:
    """A server whose sandboxes are of that kind."""
    with tempfile.TemporaryDirectory(prefix="hotpath-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)         # programs run as another user when we are root
        port, preview = free_ports(2)
        file = folder / "ide.yaml"
        file.write_text(CONFIG.format(port=port, preview=preview, folder=folder, token=TOKEN, kind=kind))
        argv = [sys.executable, "-P", "-m", "hotpath.ide", "serve", "--config", str(file)]
        with Server(f"hotpath-ide {kind}", argv, port, folder / "output") as server:
            until_s = time.monotonic() + FRESH_S
            while not is_well(Address("127.0.0.1", port)):      # 503 until its projects are taken up
                if time.monotonic() > until_s:
                    raise StartError(f"hotpath-ide is not well: {(folder / 'output').read_text()[-1000:]}")
                time.sleep(0.02)
            yield Ide(server, folder / "data")


def node_folder() -> Path:
    """A folder with the packages from npm in its node_modules; they are installed there once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hotpath-bench" / "node-pty"
    if not all((cache / "node_modules" / name / "package.json").exists() for name in NODE_PACKAGES):
        if not (shutil.which("npm") and shutil.which("node")):
            raise StartError(f"{NODE} needs node and npm")
        cache.mkdir(parents=True, exist_ok=True)
        argv = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund",
                *(f"{name}@{version}" for name, version in NODE_PACKAGES.items())]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartError(f"{' '.join(argv)}: {done.stderr[-1000:]}")
    return cache


@contextmanager
def node() -> Iterator[Server]:
    """The rival."""
    port, = free_ports(1)
    os.environ["BENCH_NODE_FOLDER"] = str(node_folder())
    with tempfile.TemporaryDirectory(prefix="hotpath-bench-") as name, Server(
            NODE, ["node", str(HERE / "ide_gateway.mjs"), str(port)], port, Path(name) / "output") as server:
        yield server


def node_term(server: Server, argv: list[str]) -> Plain:
    """A program of its own behind a socket."""
    return Plain(server.port, "/?" + urlencode([("argv", word) for word in argv]))


def versions() -> str:
    """Of the rival."""
    found = [f"{name} {version}" for name, version in NODE_PACKAGES.items()]
    return f"{', '.join(found)} on node {first_line('node', '--version')}"
