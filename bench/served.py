"""The servers that say hello or echo: hotpath-echo and its rivals, each started as its user would."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .harness import Sample, middle, ratios
from .processes import Server, free_ports
from .stage import scratch_folder

HERE = Path(__file__).resolve().parent
ECHO = str(Path(sys.executable).with_name("hotpath-echo"))
PACKAGES = ["uvloop", "httptools", "h11", "uvicorn", "granian", "gevent", "picows", "websockets", "wsproto"]

COLUMNS = ("load", "server", "CPU µs each", "user", "sys", "CPU ratio to hotpath (min-max)", "answers/s", "p50 ms",
           "p99 ms", "errors", "others' CPU")

Command = list[str]


def _script(file: str, name: str) -> Command:
    return [sys.executable, "-P", str(HERE / file), name, "{port}"]


def _echo(*flags: str) -> Command:
    return [ECHO, "--listen", "127.0.0.1:{port}", "--workers", "1", *flags]


# Name -> command, ours first; {port} is where it shall listen.
HTTP: Mapping[str, Command] = {
    "hotpath": _echo(),
    "hotpath --raw": _echo("--raw"),
    **{name: _script("hellos.py", name) for name in
       ("uvloop protocol", "uvicorn+httptools", "uvicorn+h11", "granian", "gevent wsgi")},
}
WEBSOCKET: Mapping[str, Command] = {
    "hotpath": _echo("--ws", "--no-deflate"),
    "hotpath --raw": _echo("--ws", "--no-deflate", "--raw"),
    **{name: _script("ws_echoes.py", name) for name in ("picows", "websockets", "wsproto")},
}


@contextmanager
def running(commands: Mapping[str, Command], names: Sequence[str]) -> Iterator[dict[str, Server]]:
    """The servers `names` of `commands`, each on a port of its own."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        servers = {}
        for i, (name, port) in enumerate(zip(names, free_ports(len(names)), strict=True)):
            argv = [part.format(port=port) for part in commands[name]]
            servers[name] = stack.enter_context(Server(name, argv, port, folder / f"{i}.out"))
        yield servers


def rows(cell: str, taken: Mapping[str, Sequence[Sample]], base: str) -> list[tuple[str, ...]]:
    """The table's rows of one cell: the cost of each answer, and the ratio to that of `base`."""
    return [(
        cell, name,
        f"{middle(samples, lambda s: s.cpu_us):.1f}",
        f"{middle(samples, lambda s: s.user_us):.1f}",
        f"{middle(samples, lambda s: s.cpu_us - s.user_us):.1f}",
        "1" if name == base else str(ratios(samples, taken[base], lambda s: s.cpu_us)),
        f"{middle(samples, lambda s: s.load.per_s):,.0f}",
        f"{middle(samples, lambda s: s.load.p50_ms):.2f}",
        f"{middle(samples, lambda s: s.load.p99_ms):.2f}",
        str(sum(s.load.errors for s in samples)),
        f"{max(s.others_share for s in samples):.2f}",
    ) for name, samples in taken.items()]
