"""hotpath-chat against gateways of picows, websockets, ws and uWebSockets: fan-out, memory, durable posts, a storm."""
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from rich.progress import track

from . import chat_fanout, chat_gate, chat_memory, chat_posts, chat_storm, machine, results
from .disk import disk_folder, file_system, syncs_per_s
from .harness import run_parts
from .processes import StartError
from .stage import scratch_folder

FANOUT_NOTE = """Deliveries over user+sys of the gateway's process, the median of the rounds; the ratio is taken within
each round, and above 1 hotpath makes more. The gateway has one CPU to itself, Redis and bench/chat_fanout.h, which
publishes and holds the {sockets:,} sockets, the others. A sender publishes its next event when all sockets have the one
before; every socket compares each event with what was published, and its seq with the one before. All gateways
read the same Redis topics, encode an event once and send it to the channel's sockets (bench/chat_gateways.py,
bench/chat_gateway.mjs); hotpath's alone knows members, order, holes and slow sockets. `picows, joined` goes
around picows: all that one read from Redis brought is one piece of bytes, written once to each socket's transport.
socketify is uWebSockets; a timer of libuv reads Redis every millisecond, since its own asyncio loop never rests.
`bare C loop` is no gateway but the floor (bench/chat_floor.h): one send to each socket of what one read from Redis
brought. `events per read`: how many a socket found whenever it looked.
The published events are in no database, so hotpath's look at the heads, two seconds by default, is put off for
this measure; else it would find the log shorter than what it delivered.
"""
MEMORY_NOTE = """Resident memory of the gateway's process, the slope of a line through five points up to all sockets;
kernel socket buffers are not in it. Each socket is another user's, in three channels, two of which hold everyone. No
compression. picows is told to begin with a read buffer of 1 KiB; its default is 16. `picows, lean` is with uvloop's
own transport in place of aiofastnet's, which picows prefers and which holds more memory.
"""
DELIVERY_NOTE = """{senders} kept-alive connections post {rate} messages a second in all, by the clock; {watchers}
sockets on the second gateway, or on the rival's, receive them. One program (bench/chat_posts.h) takes all times.
Below 0 the event was delivered before its own 201 had been read. Every acknowledged message was in the database and
reached every socket.
"""
ALONE_NOTE = """One kept-alive client posts, waits for the whole answer, posts again; texts of {text} bytes. The rival
is bench/chat_flask.py: a Flask route on gevent's server that inserts and commits with a sync, and knows no users,
channels or log. CPU is of all processes of the server. Afterwards as many messages were in the database as were
acknowledged.
"""
MANY_NOTE = """{senders} kept-alive clients, each posts again when it is answered. `max_batch 1`: one commit for each
message. `{slow} ms longer`: an LD_PRELOAD library (bench/chat_slow_sync.h) makes every fsync and fdatasync wait so
long first. Afterwards as many messages were in the database as were acknowledged.
"""
DISK_NOTE = "The disk alone ({kind}): {syncs:,.0f} times a second 4 KiB more and fdatasync.\n"
STORM_NOTE = """bench/chat_storm.h holds the sockets, each a client of its own with a session: it asks /api/connect,
starts with its position, and does so again when its socket ends, after the wait with full jitter that it was told; 32
kept-alive connections carry the asking. Channels have {members} members; {rate} messages a second are posted all the
while. `kill -9` of one of two gateways; hotpath-chat starts it anew. Lost and doubled are counted by each socket's
seqs, in the end against the last one acknowledged in its channel.
"""


def fanout(options: argparse.Namespace) -> None:
    """1 to 1,000, one sender and 16."""
    names = contenders(options, chat_fanout.MEASURED)
    with scratch_folder() as scratch:
        found = chat_fanout.measured(scratch, names, sockets=options.sockets, rounds=options.rounds,
                                     seconds=options.seconds)
    report("chat: fan-out", options, chat_fanout.COLUMNS, found, FANOUT_NOTE.format(sockets=options.sockets))


def memory(options: argparse.Namespace) -> None:
    """Idle sockets."""
    names = contenders(options, chat_memory.MEASURED)
    with scratch_folder() as scratch:
        found = chat_memory.measured(scratch, names, sockets=options.many, rounds=min(2, options.rounds))
    report("chat: memory of idle sockets", options, chat_memory.COLUMNS, found, MEMORY_NOTE)


def delivery(options: argparse.Namespace) -> None:
    """On the other gateway."""
    names = contenders(options, chat_posts.WATCHED)
    with scratch_folder() as scratch, disk_folder(options.folder) as disk:
        found = chat_posts.elsewhere(scratch, disk, names, rounds=options.rounds, seconds=2 * options.seconds)
    note = DELIVERY_NOTE.format(senders=chat_posts.PACED_SENDERS, rate=chat_posts.RATE, watchers=chat_posts.WATCHERS)
    report("chat: delivery on the other gateway", options, chat_posts.ELSEWHERE, found, note)


def posts(options: argparse.Namespace) -> None:
    """One client, and 64."""
    with scratch_folder() as scratch, disk_folder(options.folder) as disk:
        of_disk = DISK_NOTE.format(kind=file_system(disk), syncs=syncs_per_s(disk))
        one = chat_posts.alone(scratch, disk, rounds=options.rounds, seconds=options.seconds)
        several = chat_posts.many(scratch, disk, rounds=options.rounds, seconds=options.seconds)
    report("chat: a durable post", options, chat_posts.ALONE, one,
           ALONE_NOTE.format(text=chat_posts.TEXT_BYTES) + of_disk)
    report("chat: group commit", options, chat_posts.MANY, several,
           MANY_NOTE.format(senders=chat_posts.SENDERS, slow=chat_posts.SLOW_SYNC_MS) + of_disk)


def storm(options: argparse.Namespace) -> None:
    """A gateway killed."""
    with scratch_folder() as scratch, disk_folder(options.folder) as disk:
        storms = [chat_storm.one_storm(scratch, disk, options.many)
                  for _ in track(range(options.storms), description="storms", transient=True)]
    report("chat: storm", options, chat_storm.COLUMNS, chat_storm.rows(storms, options.many),
           STORM_NOTE.format(members=chat_storm.MEMBERS, rate=chat_storm.RATE))


RUNS: dict[str, Callable[[argparse.Namespace], None]] = {
    "fanout": fanout, "memory": memory, "delivery": delivery, "posts": posts, "storm": storm}


def contenders(options: argparse.Namespace, measured: Sequence[str]) -> list[str]:
    """Those asked for of `measured`. Raises StartError when one of them cannot run here."""
    names = [name for name in options.gateways.split(";") if name in measured or name not in chat_gate.RIVALS]
    for name in names:
        if name != chat_gate.OURS and (why := chat_gate.missing(name)):
            raise StartError(f"{name}: {why}")
    return names


def report(title: str, options: argparse.Namespace, columns: tuple[str, ...], rows: list[tuple[str, ...]],
           note: str) -> None:
    """Show the table, and write the section when asked."""
    versions = f"{chat_gate.versions()}, {machine.packages(['flask', 'gevent', 'sqlalchemy'])}"
    results.publish(title, [(columns, rows)], note, versions=versions, write=options.write)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench chat`."""
    parser.add_argument("--parts", default=",".join(RUNS), help="which of them (%(default)s)")
    parser.add_argument("--gateways", default=";".join((chat_gate.OURS, *chat_gate.RIVALS)),
                        help="contenders, between semicolons (%(default)s)")
    parser.add_argument("--sockets", type=int, default=1000, help="that one event goes to (%(default)s)")
    parser.add_argument("--many", type=int, default=10_000, help="idle sockets, and those of a storm (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="A B A B rounds (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per run (%(default)s)")
    parser.add_argument("--storms", type=int, default=2, help="how often a gateway is killed (%(default)s)")
    parser.add_argument("--folder", help="where the databases lie: a folder on a disk (default: TMPDIR or /tmp)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the sections when asked."""
    run_parts(RUNS, options)
