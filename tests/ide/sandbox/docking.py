"""Projects in containers, for tests: each test has a loop and a sandbox of its own, on containers that stay."""
from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from hotpath.core.tasks import run, timeout
from hotpath.ide.config import IdeConfig, SandboxConfig
from hotpath.ide.sandbox import Running, Spawned, Spec
from hotpath.ide.sandbox.docker import DockerSandbox
from hotpath.ide.sandbox.docker.readiness import receive, send
from hotpath.ide.templates import BUILT_IN, Template

T = TypeVar("T")
WITHIN_S = 60.0


class Home:
    """A data folder with one project."""

    def __init__(self, folder: Path, template: Template = BUILT_IN["python"], **sandbox: object) -> None:
        self.config = IdeConfig(data=str(folder), sandbox=SandboxConfig(kind="docker", **sandbox))  # type: ignore[arg-type]
        self.spec = self.project(template)

    def project(self, template: Template = BUILT_IN["python"]) -> Spec:
        """Another one."""
        id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(12))
        spec = Spec(id, self.config.folder / "projects" / id, template)
        spec.files.mkdir(parents=True)
        os.chown(spec.files, *self.config.sandbox.ids)
        return spec

    @property
    def files(self) -> Path:
        """The project's own."""
        return self.spec.files

    @property
    def called(self) -> str:
        """The project's container."""
        return f"hotpath-ide-{self.spec.id}"

    def with_env(self, env: Mapping[str, str]) -> Spec:
        """The project, of a template with more in its environment."""
        return replace(self.spec, template=replace(self.spec.template, env={**self.spec.template.env, **env}))

    def but(self, **sandbox: object) -> IdeConfig:
        """A configuration that is other."""
        return msgspec.structs.replace(
            self.config, sandbox=msgspec.structs.replace(self.config.sandbox, **sandbox))

    def serve(self, act: Callable[[DockerSandbox], T], config: IdeConfig | None = None) -> T:
        """`act(sandbox)` in a task."""
        def task() -> T:
            with closing(DockerSandbox(config or self.config)) as sandbox:
                return act(sandbox)
        return run(task)

    def inside(self, act: Callable[[Running], T]) -> T:
        """`act(running)` in a task; the container is started by whoever comes first, and stays."""
        return self.serve(lambda sandbox: act(sandbox.start(self.spec)))

    def close(self) -> None:
        """Nothing is left."""
        self.serve(lambda sandbox: sandbox.adopt([]))
        shutil.rmtree(self.config.folder)


class Screen:
    """What a program says, and what is typed to it; all in tasks."""

    def __init__(self, spawned: Spawned) -> None:
        self.spawned = spawned
        self.seen = spawned.early
        self.sock = socket.socket(fileno=spawned.fd)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.spawned.kill(9)
        self.sock.close()

    def until(self, text: str) -> str:
        """All up to there, which is not seen again."""
        end = text.encode()
        with timeout(WITHIN_S):
            while end not in self.seen:
                piece = receive(self.sock, 65536)
                assert piece, f"ended before {text!r}: {self.seen!r}"
                self.seen += piece
        said, self.seen = self.seen[:self.seen.index(end) + len(end)], self.seen[self.seen.index(end) + len(end):]
        return said.decode()

    def rest(self) -> str:
        """All up to its end."""
        with timeout(WITHIN_S):
            while piece := receive(self.sock, 65536):
                self.seen += piece
        return self.seen.decode().replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """As a person does."""
        send(self.sock, text.encode())

    def status(self) -> int:
        """How it ended."""
        with timeout(WITHIN_S):
            return self.spawned.wait()


def output(running: Running, *argv: str, env: Mapping[str, str] | None = None) -> tuple[str, int]:
    """In a task: all that a program says, and its status."""
    with Screen(running.spawn(argv, 80, 24, env or {})) as screen:
        return screen.rest(), screen.status()


def shell(running: Running, script: str) -> str:
    """In a task: what a script says that succeeds."""
    said, status = output(running, "sh", "-c", script)
    assert status == 0, said
    return said


class Line:
    """A way to the engine that can be cut: a unix socket in `folder` whose connections lead there."""

    def __init__(self, folder: Path, engine: str = "/var/run/docker.sock") -> None:
        self.path = str(folder / "engine.sock")
        self.calls = 0
        self._engine = engine
        self._open: list[socket.socket] = []
        self._events: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        self.mend()

    @property
    def url(self) -> str:
        """For `docker_host`."""
        return f"unix://{self.path}"

    def mend(self) -> None:
        """From now on it leads there."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """As the engine's end: its connections end, and nobody listens."""
        assert self._listener is not None
        os.unlink(self.path)
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._open.clear()

    def drop_events(self) -> None:
        """The connection on which the engine tells what happens."""
        [events] = self._events
        for sock in events:
            sock.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._engine)
                self.calls += 1
                self._open += (near, far)
                if near.recv(12, socket.MSG_PEEK) == b"GET /events?":
                    self._events = [(near, far)]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def home(folder: Path, **more: object) -> Iterator[Home]:
    """One that leaves nothing behind."""
    one = Home(folder, **more)      # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.close()
