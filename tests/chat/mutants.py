"""The command with one mistake in it: `python -P -m tests.chat.mutants NAME up …`, and the same for all its parts.

Each mutant replaces one seam of `hotpath.chat`; the checker must find out. `none` is the command as it is. Whatever
the mutant, the places of `stops` are there, and an edit that says REFUSE is refused behind its last statement: the
schedules under which a mutant shows itself are the same for the one that makes no mistake.
"""
from __future__ import annotations

import dataclasses
import secrets
import sys
from collections.abc import Callable
from typing import Any

from hotpath.chat import parts
from hotpath.chat.command import main as command_main
from hotpath.chat.fanout import Fanout
from hotpath.chat.gateway import backlog, hall, heads
from hotpath.chat.store import database, gatewayreads, messages, statements, transaction, writer
from hotpath.chat.store.errors import Refused
from hotpath.chat.topics import HEAD, Kind
from tests.chat.stops import stop

REFUSE = "refuse this behind its last statement"


def none() -> None:
    """As it is."""


def publish_before_commit() -> None:
    """Events go out while their transaction is still open."""
    finish, write = transaction.Transaction.finish, writer.Writer._transaction
    writers: list[writer.Writer] = []

    def remembered(self: writer.Writer, batch: Any) -> Any:
        writers[:] = [self]
        return write(self, batch)

    def early(tx: transaction.Transaction) -> None:
        finish(tx)
        if tx.events or tx.notices:
            writers[0]._publish([*tx.events, *tx.notices])

    writer.Writer._transaction = remembered     # type: ignore[method-assign]
    transaction.Transaction.finish = early      # type: ignore[method-assign]
    writer.Writer._hand_over = lambda self, tx: None    # type: ignore[method-assign]


def primary_key_order() -> None:
    """A seq is what AUTO_INCREMENT gives at the INSERT, not a row's count under its lock: MySQL only."""
    given: dict[tuple[int, int, int], int] = {}

    def next_seq(tx: transaction.Transaction, channel: transaction.ChannelRow) -> int:
        key = id(tx), channel.id, channel.last_seq
        if key not in given:
            given[key] = allocated(channel)
        return given[key]

    def allocated(channel: transaction.ChannelRow) -> int:
        with databases[0].engine.connect() as connection:
            run = connection.exec_driver_sql
            run("CREATE TABLE IF NOT EXISTS numbers (channel BIGINT PRIMARY KEY, n BIGINT)")
            run("INSERT INTO numbers VALUES (%s, LAST_INSERT_ID(%s)) ON DUPLICATE KEY UPDATE n = LAST_INSERT_ID(n + 1)",
                (channel.id, channel.last_seq + 1))
            return int(run("SELECT LAST_INSERT_ID()").scalar_one())

    def hold(tx: transaction.Transaction, channels: Any) -> None:
        tx.rows.for_update, kept = "", tx.rows.for_update
        try:
            original_hold(tx, channels)
        finally:
            tx.rows.for_update = kept

    def run(self: statements.Statements, sql: str, values: Any = ()) -> int:
        # The lower seq may be committed last.
        return original_run(self, sql.replace("SET last_seq = ?", "SET last_seq = GREATEST(last_seq, ?)"), values)

    databases: list[database.Database] = []
    original_hold, original_run = transaction.Transaction.hold, statements.Statements.run
    original_init = writer.Writer.__init__

    def init(self: writer.Writer, store: database.Database, **more: Any) -> None:
        databases.append(store)
        original_init(self, store, **more)

    writer.Writer.__init__ = init               # type: ignore[method-assign]
    transaction.Transaction.hold = hold         # type: ignore[method-assign]
    statements.Statements.run = run             # type: ignore[method-assign]
    transaction.Transaction.next_seq = next_seq     # type: ignore[method-assign]


def no_dedupe() -> None:
    """Each try of a client_msg_id makes a message."""
    apply = messages.PostMessage.apply
    messages.PostMessage.find_same = lambda self, tx, digest: None      # type: ignore[method-assign]
    # The table's own unique key would still tell: it gets a different id each time.
    messages.PostMessage.apply = lambda self, tx: apply(                # type: ignore[method-assign]
        dataclasses.replace(self, client_msg_id=f"{self.client_msg_id[:40]}-{secrets.token_hex(4)}"), tx)


def no_savepoint() -> None:
    """What a refused item did before it was refused stays."""
    for name in ("savepoint", "release_savepoint", "rollback_to_savepoint"):
        setattr(transaction.Transaction, name, lambda self: None)


def sync_off() -> None:
    """A commit is in the kernel's memory, and acknowledged."""
    database.SQLITE_SYNCHRONOUS = "OFF"


def no_head_check() -> None:
    """What Redis lost and nothing followed is looked for by nobody."""
    heads.Heads._look = lambda self: None       # type: ignore[method-assign]


def backlog_before_registration() -> None:
    """A client's backlog is read, and then it is live with whatever comes next."""
    def send(self: backlog.Backlog, one: backlog.CatchUp, page: backlog.Page) -> bool:
        for event, block in page.behind(one.sent):
            one.sent = event.seq
            one.session.send_shared(block)
        self._fanout.attach(one.feed.channel, one.session, one.feed.channel.next - 1)
        self._end(one)
        return True

    backlog.Backlog._send = send                # type: ignore[method-assign]


def live_before_the_rest() -> None:
    """A client is live at once, and gets its backlog beside that."""
    begin = backlog.Backlog.begin

    def early(self: backlog.Backlog, session: Any, feed: Any, **more: Any) -> None:
        begin(self, session, feed, **more)
        if not feed.channel.has(session):
            self._fanout.attach(feed.channel, session, feed.channel.next - 1)

    def send(self: backlog.Backlog, one: backlog.CatchUp, page: backlog.Page) -> bool:
        for event, block in page.behind(one.sent):
            one.sent = event.seq
            one.session.send_shared(block)
        self._end(one)
        return True

    backlog.Backlog.begin = early               # type: ignore[method-assign]
    backlog.Backlog._send = send                # type: ignore[method-assign]


def no_dedupe_in_the_fan_out() -> None:
    """What Redis brings again is delivered again."""
    class Again(Fanout):
        kept = b""

        def feed(self, data: Any) -> None:
            self.kept += bytes(data)
            while (found := one_reply(self.kept)) is not None:
                items, size = found
                self.kept = self.kept[size:]
                if items[:1] == [b"message"] and len(items[2]) > HEAD.size:
                    _, kind, _, channel, seq, _, _ = HEAD.unpack_from(items[2])
                    feed = self.get(channel)
                    if kind == Kind.EVENT and feed is not None and seq < feed.next:
                        for member in feed.members():
                            member.send(items[2][HEAD.size:])
            super().feed(data)

        def reset(self) -> None:
            self.kept = b""
            super().reset()

    hall.Fanout = Again                      # type: ignore[misc,attr-defined]


def one_reply(data: bytes) -> tuple[list[bytes], int] | None:
    """The first array of strings in what Redis says, and its size; anything else is skipped by its line."""
    line, end, _ = data.partition(b"\r\n")
    if not end:
        return None
    at, items = len(line) + 2, []
    for _ in range(int(line[1:]) if line[:1] == b"*" else 0):
        head, end, _ = data[at:].partition(b"\r\n")
        if not end:
            return None
        at += len(head) + 2
        if head[:1] == b"$":
            size = int(head[1:])
            if len(data) < at + size + 2:
                return None
            items.append(data[at:at + size])
            at += size + 2
    return items, at


MUTANTS: dict[str, Callable[[], None]] = {make.__name__.replace("_", "-"): make for make in (
    none, publish_before_commit, primary_key_order, no_dedupe, no_savepoint, sync_off, no_head_check,
    backlog_before_registration, live_before_the_rest, no_dedupe_in_the_fan_out)}


def place_stops() -> None:
    """In each process."""
    release, apply = writer.Writer._release, messages.EditMessage.apply
    next_seq, frames = transaction.Transaction.next_seq, gatewayreads.GatewayReads.event_frames

    def committed(self: writer.Writer, batch: Any, answers: Any) -> None:
        if any(isinstance(operation, messages.PostMessage) for operation, _ in batch):
            stop("committed")
        release(self, batch, answers)

    def refused(self: messages.EditMessage, tx: transaction.Transaction) -> Any:
        answer = apply(self, tx)
        if REFUSE in self.text:
            raise Refused(422, "as the test wants it")
        return answer

    def numbered(tx: transaction.Transaction, channel: transaction.ChannelRow) -> int:
        seq = next_seq(tx, channel)
        stop("numbered")
        return seq

    def read(self: gatewayreads.GatewayReads, channel: int, after: int, limit: int) -> Any:
        found = frames(self, channel, after, limit)
        stop(f"read-{channel}-{after}")
        return found

    writer.Writer._release = committed          # type: ignore[method-assign]
    messages.EditMessage.apply = refused        # type: ignore[method-assign]
    transaction.Transaction.next_seq = numbered     # type: ignore[method-assign]
    gatewayreads.GatewayReads.event_frames = read   # type: ignore[method-assign]


def main() -> int:
    """The command."""
    name = sys.argv.pop(1)
    MUTANTS[name]()
    place_stops()
    # The parts are started by the same launcher, with the same mistake.
    parts.COMMAND = (sys.executable, "-P", "-m", "tests.chat.mutants", name)    # type: ignore[misc,assignment]
    return command_main()


if __name__ == "__main__":
    sys.exit(main())
