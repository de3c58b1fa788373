"""The command `hotpath-shard serve`: the shards up, then a master and its workers."""
from __future__ import annotations

import argparse
import os
import re
import signal
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import TypeVar

import msgspec

from hotpath.core.errors import ConfigError, HotpathError
from hotpath.core.listen import Listeners
from hotpath.core.master import run as run_master
from hotpath.core.serve import Router, ServeConfig
from hotpath.core.serve.config import Flags
from hotpath.core.serve.service import ServerGeneration, ServerService

from .bringup import bring_up
from .config import ShardConfig
from .engine.driver import HAVE_CEXT
from .loading import SHIPPED, based
from .node import Node
from .web.metrics import Meter
from .web.service import Service
from .web.tally import Tally

log = getLogger(__name__)

C = TypeVar("C", bound=ServeConfig)

# A field's value holds no more than Latin-1 without controls, and blanks around it are lost.
TOKEN = re.compile(r"[!-~]{1,4096}")
# Workers beyond twice as many as there are at first: a reload may ask for more, and begins them while others drain.
SPARE_ROWS = 64


def token_of(config: ShardConfig) -> str | None:
    """What every request must carry as Bearer; None: nothing. Raises ConfigError."""
    if config.token_file is None:
        if config.exposed is not None:
            raise ConfigError("", 0, "listen", f"{config.listen[config.exposed]} can be reached by others, and no "
                                               "token is asked for; allowed: a loopback address, or a token_file")
        return None
    try:
        token = Path(config.token_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError("", 0, "token_file", f"{config.token_file!r} cannot be read: {reason}") from None
    if TOKEN.fullmatch(token) is None:
        raise ConfigError("", 0, "token_file", f"{config.token_file!r} holds no token; allowed: one word of printable "
                                               "ASCII")
    return token


class Wanted(Flags):
    """The flags of `serve`; paths in the file are relative to it, in the example to where we are."""

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(str(SHIPPED) if given.config is None else given.config, given.listen, given.workers)
        self._folder = Path.cwd() if given.config is None else Path(given.config).absolute().parent

    def load(self, model: type[C]) -> C:
        """The file and the flags. Raises ConfigError."""
        config = super().load(model)
        return based(config, self._folder) if isinstance(config, ShardConfig) else config     # type: ignore[return-value]


class Routers(ServerService):
    """Each load finds the shards up: so that a table that is new in the file is there when its routes are."""

    def __init__(self, flags: Wanted, *, up: bool) -> None:
        """`up`: start and make what is missing; else it is looked at only."""
        super().__init__(self._app_of, flags, ShardConfig)
        self._up = up
        self._tally: Tally | None = None

    def load(self, listeners: Listeners) -> ServerGeneration:
        """A generation of the configuration as it is now. Raises ConfigError, HotpathError: the shards are not up."""
        config = self.config()
        self.app(config)                # a mistake is told before anything is started
        up_aside(config, start=self._up)
        return super().load(listeners)

    def _app_of(self, config: ServeConfig) -> Router:
        assert isinstance(config, ShardConfig)
        if self._tally is None:         # counted on by the workers of every reload
            self._tally = Tally(2 * config.worker_count + SPARE_ROWS)
        return Service(config, self._tally, token=token_of(config), opened=partial(node_of, config)).app()


def run(given: argparse.Namespace) -> int:
    """`serve`, its flags parsed: `config listen workers check no_up`; its exit status. Raises HotpathError."""
    service = Routers(Wanted(given), up=not given.no_up)
    try:
        if given.check:
            service.check()
            print(f"{given.config or 'defaults'}: ok")
            return 0
        return run_master(service)
    except ConfigError as error:
        raise (error if error.file else service.blame((error.path,), error.message)) from None


def node_of(config: ShardConfig, meter: Meter) -> Node:
    """What a worker serves with, started. Raises ShardUnavailable."""
    node = Node(config, bring_up(config, start=False), p99=meter.latency.p99)
    node.directory.waited = meter.waited
    if config.backend != "embedded":
        log.info("driver HAVE_CEXT=%s", HAVE_CEXT)      # without it, the same at twice the CPU
    node.start()
    return node


class NotUp(HotpathError):
    """The operator must act: the shards cannot be made ready."""


def up_aside(config: ServeConfig, *, start: bool) -> None:
    """What `up` does, in a process of its own: a master has no thread and no connection to fork. Raises as it does.

    Without `start`, whether it was done.
    """
    assert isinstance(config, ShardConfig)
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            # The master's handlers would note our signals in its own queue.
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            bring_up(config, start=start).close()
            status = 0
        except ConfigError as error:
            status = 2
            os.write(write_fd, msgspec.json.encode((error.file, error.line, error.path, error.message)))
        except HotpathError as error:
            os.write(write_fd, str(error).encode())
        finally:
            os._exit(status)
    os.close(write_fd)
    with open(read_fd, "rb") as said:
        text = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 2:
        raise ConfigError(*msgspec.json.decode(text, type=tuple[str, int, str, str]))
    if status:
        raise NotUp(text.decode() or f"`up` ended with {status}")
