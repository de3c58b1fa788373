"""A process that carries a reshard on while no router lives: `python -m hotpath.shard.cli.carrier [FILE]`.

It is no child of the terminal, so neither Ctrl-C nor the end of the command that started it stops a move. It ends when
there is nothing to do, or when a router can do it.
"""
from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hotpath.core.errors import HotpathError, ShardUnavailable
from hotpath.core.telemetry import start_logging
from hotpath.shard.config import ShardConfig
from hotpath.shard.loading import load_config
from hotpath.shard.mover import Mover
from hotpath.shard.node import Node

from .documents import ReshardDoc, read
from .following import ending_of
from .opening import node_of

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
# A carrier that dies so often, one right after the other, will not get further.
DEATHS_ALLOWED = 3
LOG_NAME = "carrier.log"
# The server that the map is on may come back; one that was purged does not.
MAP_PATIENCE_S = 600.0


class CannotCarry(HotpathError):
    """The operator must act: the process that moves the rows ends each time; the message says what it said."""


class Hands:
    """Sees to it that somebody moves the rows: a router, or a carrier that it starts."""

    def __init__(self, config: ShardConfig, file: str | None, routers: Callable[[], Sequence[object]]) -> None:
        """`file`: that of `config`; `routers` tells which live."""
        self._file = file
        self._log = Path(config.data) / LOG_NAME
        self._routers = routers
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0

    def see_to_it(self) -> None:
        """Start a carrier if nobody else is there. Raises CannotCarry, and ShardUnavailable."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            self._deaths = self._deaths + 1 if status else 0
            if self._deaths == DEATHS_ALLOWED:
                raise CannotCarry(f"nobody moves the rows; {self._log} ends with: {self._last_words()}")
        if not self._routers():
            self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [sys.executable, "-P", "-m", "hotpath.shard.cli.carrier"]
        file = [] if self._file is None else [self._file]
        with self._log.open("ab") as output:
            return subprocess.Popen([*words, *file], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                    start_new_session=True)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing)"


def forget_log(config: ShardConfig) -> None:
    """Delete what carriers said, and the folder if that was all there was in it."""
    path = Path(config.data) / LOG_NAME
    if path.exists():
        path.unlink()
        with suppress(OSError):     # somebody else's files stay
            path.parent.rmdir()


def carry(node: Node, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Move until there is nothing to do, or a router does it. Raises ShardUnavailable: the map is gone for good."""
    mover = Mover(node.directory, node.config, f"carrier-{os.getpid()}", backend=node.house.backend)
    mover.start()
    try:
        answered_s = time.monotonic()
        while True:
            try:
                if is_needless(node):
                    return
                answered_s = time.monotonic()
            except ShardUnavailable:        # the mover waits as well
                if time.monotonic() - answered_s > MAP_PATIENCE_S:
                    raise
            pause(LOOK_EVERY_S)
    finally:
        mover.close()


def is_needless(node: Node) -> bool:
    """Whether nobody has to move anything now, or a router is there to do it."""
    document = node.admin.document()
    if document is None or node.meta.routers():
        return True
    reshard = read(document, ReshardDoc)
    return reshard.paused or ending_of(reshard) is not None


def main(argv: Sequence[str]) -> int:
    """Carry the reshard of the cluster of this file on; the exit status."""
    start_logging("-", level="info", format="text")
    try:
        with node_of(load_config(argv[0] if argv else None)) as node:
            carry(node)
    except HotpathError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
