"""The command `hotpath-crdt`: what is opened, started and stopped, and in which order."""
from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

from hotpath import __version__
from hotpath.core.data.lww import LWWTable
from hotpath.core.errors import ConfigError, HotpathError
from hotpath.core.net.loop import Loop
from hotpath.core.serve import Router, ServeConfig
from hotpath.core.serve.config import Parser, add_flags
from hotpath.core.serve.exchange import Server
from hotpath.core.serve.service import serve
from hotpath.core.solo import die
from hotpath.core.successor import READY_VARIABLE
from hotpath.core.tasks import offload, use_threads

from . import demo
from .config import CrdtConfig
from .gossip.gossip import Gossip
from .journal import Journal, Replayed, Unavailable
from .replica import Replica
from .web import sync
from .web.api import add_routes
from .web.counted import exposed

log = getLogger(__name__)

# How often the journal is looked at: it is compacted in the background, and nobody waits for it.
COMPACT_EVERY_S = 1.0
# How long a directory that is in use is waited for: whoever restarts us behind a `kill -9` need not.
PATIENCE_S = 1.0


# What a reload leaves as it was.
KEPT = ("replica", "data", "bias", "token", "journal", "sync", "clock", "gc", "changes", "threads", "drill",
        "repair")


class DataUnusable(HotpathError):
    """The operator must act: the data directory cannot be read or written."""


class Service:
    """One replica in this process."""

    def __init__(self, config: CrdtConfig, *, is_successor: bool = False) -> None:
        """`is_successor`: another process has the data directory and will let go of it."""
        self._config = config
        # A successor waits as long as its predecessor drains.
        self._patience_s = None if is_successor else PATIENCE_S
        offset_ms = round(config.clock.offset * 1000)
        table = LWWTable(config.replica, bias=config.bias, wall_ms=lambda: time.time_ns() // 1_000_000 + offset_ms)
        self.replica = Replica(table, keep=config.changes.keep, max_drift_s=config.clock.max_drift)
        self.gossip = Gossip(self.replica, config)
        self._stopping = threading.Event()
        self._upkeep = threading.Thread(target=self._compact_when_it_pays, name="compact", daemon=True)

    def app(self) -> Router:
        """Its routes and hooks."""
        app, shared = Router(), Router()
        sync.routes(shared, self.replica, self.gossip)
        add_routes(app, self.replica, self._config, more=shared, stats=self.gossip.stats, publics=self.gossip.publics,
                   waiting=lambda: self.gossip.waiting)
        app.ready = lambda: self.gossip.waiting or self.replica.suspended
        app.exposed = lambda: exposed(self.replica, self.gossip)
        app.at_worker(self._attach)
        app.at_open(self._open)
        app.at_reload(self._reload)
        app.at_drain(self.replica.changes.close)
        app.at_stop(self._stop)
        return app

    def _attach(self, server: Server) -> None:
        self._loop: Loop = server.loop

    def _open(self) -> None:
        use_threads(self._config.threads)
        journal, replayed = offload(self._replay)
        self.replica.open(journal, self._loop)
        offload(self.gossip.start, replayed)
        self._upkeep.start()

    def _replay(self) -> tuple[Journal, Replayed]:
        config = self._config
        began_s = time.monotonic()
        try:
            journal, replayed = Journal.open(
                Path(config.folder), replica=config.replica, bias=config.bias, fsync=config.journal.fsync,
                interval_s=config.journal.interval, segment_bytes=config.journal.segment,
                compact=config.journal.compact, repair=config.repair, patience_s=self._patience_s,
                fatal=lambda error: die("journal failed cause=%s", error))
            table = self.replica.table
            for delta in replayed.deltas:
                table.merged(delta)
        except OSError as error:
            raise DataUnusable(f"{config.folder}: {error.strerror or error}") from None
        table.observe(replayed.clock)
        # At the end: what is absent only because it was not read yet is not stale.
        if replayed.floor:
            table.collect(replayed.floor)
        log.info("replayed folder=%s cells=%d took_s=%.3f", config.folder, replayed.cells, time.monotonic() - began_s)
        return journal, replayed

    def _reload(self, config: ServeConfig) -> None:
        assert isinstance(config, CrdtConfig)
        self.gossip.reload(config)
        for key in KEPT:
            if getattr(config, key) != getattr(self._config, key):
                log.warning("not changed: %s needs a restart", key)
        for key in ("key", "value", "batch", "body"):
            if getattr(config.limits, key) != getattr(self._config.limits, key):
                log.warning("not changed: limits.%s needs a restart", key)

    def _stop(self) -> None:
        self._stopping.set()
        self.gossip.stop()
        self._upkeep.join()
        self.replica.journal.close()

    def _compact_when_it_pays(self) -> None:
        journal = self.replica.journal
        while not self._stopping.wait(COMPACT_EVERY_S):
            try:
                if not journal.full and journal.wants_compaction(self.replica.live_bytes):
                    journal.compact(self.replica.snapshot)
            except (OSError, Unavailable) as error:
                log.error("not compacted cause=%s", error)
            except Exception:       # no memory for all of it, say: without this thread the journal would only grow
                log.exception("not compacted")


def app_of(config: ServeConfig, *, is_successor: bool = False) -> Router:
    """The application of this configuration. Raises ConfigError."""
    assert isinstance(config, CrdtConfig)
    if config.exposed is not None:
        raise ConfigError("", 0, "listen", f"{config.listen[config.exposed]} can be reached by others, and no token is "
                                           f"asked for; allowed: a loopback address, or a token")
    return Service(config, is_successor=is_successor).app()


def peer(text: str) -> dict[str, str]:
    """`NAME=URL`, for argparse."""
    name, equals, url = text.partition("=")
    if not (name and equals and url):
        raise argparse.ArgumentTypeError(f"{text!r} is not a peer; allowed: NAME=URL, as b=http://127.0.0.1:8092")
    return {"name": name, "url": url}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="hotpath-crdt", allow_abbrev=False,
        description="A last-write-wins dictionary over HTTP that replicates itself.",
        epilog="`hotpath-crdt COMMAND --help` says more. Exit status: 0 after a clean stop, 1 when it cannot run, "
               "2 for a mistake in file or flags.")
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="serve | demo", required=True, parser_class=Parser)
    one = commands.add_parser(
        "serve", help="serve one replica until told to stop", allow_abbrev=False,
        description="Serve one replica. A flag wins over the file.",
        epilog="FILE holds replica, listen, data, bias, token, peers, limits, journal, sync, clock, gc, changes, "
               "threads, drill and repair, and timeouts, log, pid_file and user as every server's. Signals: HUP reads "
               "the peers, limits and timeouts anew, TERM or QUIT drain and stop, USR1 reopens the logs, USR2 upgrades "
               "the binary. Ends with 1 when the data directory is in use, another replica's, or damaged; with 2 for a "
               "mistake in file or flags.")
    add_flags(one, alone=True)
    one.add_argument("--replica", metavar="NAME", help="its name in the group: 1 to 8 of a-z and 0-9 (default: a)")
    one.add_argument("--peer", metavar="NAME=URL", action="append", dest="peers", type=peer,
                     help="another replica; repeat it for more, instead of the file's peers")
    one.add_argument("--data", metavar="DIR", help="where it keeps its data (default: ./crdt-NAME)")
    one.add_argument("--bias", choices=["add", "remove"],
                     help="which of an add and a remove with equal stamps wins; the same in the whole group "
                          "(default: add)")
    one.add_argument("--drill", action="store_true", default=None, help="let /drill cut and heal links")
    one.add_argument("--repair", action="store_true", default=None,
                     help="set damaged files of the data aside and copy from the peers, instead of ending")
    three = commands.add_parser("demo", help="three replicas and a page", allow_abbrev=False)
    demo.configure(three)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 when the data cannot be used, 2 for a mistake."""
    given = arguments(argv)
    if given.command == "demo":
        return demo.run(given.listen, given.data)
    # Asked before it is taken out of the environment.
    is_successor = READY_VARIABLE in os.environ
    return serve(lambda config: app_of(config, is_successor=is_successor), given, model=CrdtConfig,
                 names={"peers": "--peer"}, alone=True)
