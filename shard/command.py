"""The command `hotpath-shard`: its words, and who does what they say."""
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from hotpath import __version__
from hotpath.core.config import Address
from hotpath.core.serve.command import run_command
from hotpath.core.serve.config import Parser

from .cli import arguments as be

EXITS = ("Exit status: 0; 1 when it was refused or failed, with the reason on stderr; 2 for a mistake in file or "
         "flags, with FILE:LINE: key: what is wrong, what is allowed.")
CONFIG_EPILOG = (
    "FILE (YAML) holds cluster, listen, token_file, workers, backend, data, shards, vnodes, fence, meta, pool: {max, "
    "wait, connect, statement, idle, age, ping_after}, move: {rate, chunk, latency, hold, keep_source}, limits: {row, "
    "bulk, list}, docker: {image, build, memory, args}, process: {binary, user, args}, tables, and timeouts, log, "
    "pid_file and user as every server's. ")
STEERING = {
    "pause": "stop moving rows; what was moved stays moved, and all is served as before",
    "resume": "go on after a pause, or after an error whose cause is mended",
    "complete": "finish a reshard that is held in `verified`: from here on it cannot be taken back",
    "cancel": "take a reshard back that is not complete yet; writes that clients made meanwhile are kept",
}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="hotpath-shard", allow_abbrev=False,
        description="A MySQL that grows while it serves: rows on the shard that a hash ring names, shards added and "
                    "removed online.",
        epilog="Without --config it is the example that comes with hotpath: three SQLite files in ./shard-data. "
               "`hotpath-shard COMMAND --help` says more. " + EXITS)
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, about: str, description: str, run: Callable[[argparse.Namespace], int]) -> Parser:
        made = commands.add_parser(name, allow_abbrev=False, help=about, description=description, epilog=EXITS)
        made.add_argument("-c", "--config", metavar="FILE",
                          help="the configuration (YAML); without one, the example that comes with hotpath")
        made.set_defaults(run=run)
        return made

    _add_servers(command)
    _add_looking(command)
    _add_moving(command)
    one = command("bench", "how fast, beside the bare driver",
                  "Load the cluster and a bare driver on the same servers in turns, A B A B, and compare: a connection "
                  "for each thread and the same statements without a fence, or for SQLite one connection. It makes "
                  "tables of its own, hotpath_bench and hotpath_bench_bare, and drops them.", run_bench)
    one.add_argument("--mix", choices=["read", "write", "crud", "scan"], default="crud",
                     help="get by key; durable inserts; insert, get, update, get, delete; pages of 50 rows (default: "
                          "%(default)s)")
    one.add_argument("--threads", type=be.threads, default=16, metavar="N",
                     help="clients at the same time (default: %(default)s)")
    one.add_argument("--seconds", type=be.seconds, default=10.0, metavar="S", help="of each of the two (default: 10)")
    _json(one, "one JSON object")
    return parser.parse_args(argv)


Command = Callable[[str, str, str, Callable[[argparse.Namespace], int]], Parser]


def _add_servers(command: Command) -> None:
    """What starts and stops."""
    one = command("up", "start the shards that do not run, make the tables",
                  "Start what does not run, and make the tables that are not there; what is there is left as it is. "
                  "The servers outlive the command.", run_up)
    one.add_argument("--timeout", type=be.duration, default=60.0, metavar="T",
                     help="how long the servers may take until they answer (default: 60s)")
    one = command("down", "stop the shards",
                  "Stop the servers of the cluster. The data stay, and `up` starts them again.", run_down)
    one.add_argument("--purge", action="store_true", help="delete the data too: all rows of all tables, and the map")
    one = command("serve", "route requests: the HTTP API, the page, the metrics",
                  "Do `up`, then serve until told to stop. The shards go on when it ends.", run_serve)
    one.epilog = (CONFIG_EPILOG + "A flag wins over FILE. Signals: HUP reload, TERM or QUIT drain and stop, USR1 "
                  "reopen logs, USR2 upgrade the binary. " + EXITS)
    one.add_argument("--listen", metavar="ADDR", help=f"instead of the file's listen: {Address.forms}")
    one.add_argument("--workers", metavar="N", help="instead of the file's workers: auto, or 1 to 256")
    one.add_argument("-t", "--check", action="store_true", help="check and exit: 0, or 2 with the reason")
    one.add_argument("--no-up", action="store_true", help="the shards run already: start and make nothing")


def _add_looking(command: Command) -> None:
    """What only reads."""
    one = command("status", "shards, slots, rows, pools, routers, and the reshard that runs",
                  "Show the cluster: shards, their slots and rows, routers, and the reshard that runs.", run_status)
    one.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    _json(one, "the document of GET /v1/cluster; with --watch one on each line")
    one = command("owner", "which shard has the row with this key",
                  "Say which shard a key belongs to. While its slot moves, also the shard that it comes from.",
                  run_owner)
    one.add_argument("table", metavar="TABLE", help="as declared in FILE")
    one.add_argument("key", metavar="KEY", help="the text of the key; of a binary one, its base64url")
    _json(one, "the document of GET /v1/cluster/owner")
    one = command("verify", "is each row on its owner, once?",
                  "Read all rows of all shards: each must be on its owner, once, and equal where two copies stand.",
                  run_verify)
    _json(one, "{ok, rows, misplaced, doubled, missing, different, examples}")


def _add_moving(command: Command) -> None:
    """What changes which shards there are."""
    one = command("add", "put one more shard in, while all goes on",
                  "Add a shard and move its share of the rows to it, while reads and writes go on. Shows how far it "
                  "is; Ctrl-C leaves the move running.", run_add)
    one.add_argument("name", metavar="NAME", type=be.shard_name, help="of the new shard")
    one.add_argument("--weight", type=be.weight, metavar="W", default=1.0,
                     help="its share, beside a weight of 1 (default: 1)")
    one.add_argument("--dsn", type=be.dsn, metavar="D", help="an empty database, with backend dsn: "
                                                             "mysql://USER:PASSWORD@HOST:PORT/DATABASE")
    _reshard_flags(one)
    one = command("remove", "take a shard out, while all goes on",
                  "Move the rows of a shard to the others, while reads and writes go on, then stop its server. Shows "
                  "how far it is; Ctrl-C leaves the move running.", run_remove)
    one.add_argument("name", metavar="NAME", type=be.shard_name, help="of the shard")
    _reshard_flags(one)
    one.add_argument("--keep-server", action="store_true", help="leave the emptied server running")
    for name, about in STEERING.items():
        one = command(name, about, f"{about[0].upper()}{about[1:]}.", run_steer)
        _json(one, "the reshard's document")
    one = command("throttle", "how fast rows may move",
                  "Change how many rows per second the reshard may move.", run_steer)
    one.add_argument("rate", metavar="RATE", type=be.rate, help="rows per second; 0: no cap")
    _json(one, "the reshard's document")


def _reshard_flags(parser: Parser) -> None:
    parser.add_argument("--rate", type=be.rate, metavar="R",
                        help="rows per second, 0 for no cap (default: the file's move.rate)")
    parser.add_argument("--hold", action="store_true", default=None,
                        help="stop when all is copied and verified, until `complete` or `cancel`")
    parser.add_argument("--keep-source", action="store_true", default=None,
                        help="leave the moved rows where they were, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would move, and how long it would take")
    parser.add_argument("--detach", action="store_true", help="start it and return")
    _json(parser, "the reshard's document: the last one, or with --detach the first")


def _json(parser: Parser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 when it was refused or failed, 2 for a mistake in file or flags."""
    return run_command("hotpath-shard", arguments(argv))


# Each command imports what it alone needs: the driver, rich and the server take half a second together.

def run_up(given: argparse.Namespace) -> int:
    """`up`."""
    from .cli import servers
    return servers.up(given)


def run_down(given: argparse.Namespace) -> int:
    """`down`."""
    from .cli import servers
    return servers.down(given)


def run_serve(given: argparse.Namespace) -> int:
    """`serve`."""
    from . import server
    return server.run(given)


def run_status(given: argparse.Namespace) -> int:
    """`status`."""
    from .cli import looking
    return looking.status(given)


def run_owner(given: argparse.Namespace) -> int:
    """`owner`."""
    from .cli import looking
    return looking.owner(given)


def run_verify(given: argparse.Namespace) -> int:
    """`verify`."""
    from .cli import looking
    return looking.verify(given)


def run_add(given: argparse.Namespace) -> int:
    """`add`."""
    from .cli import moving
    return moving.add(given)


def run_remove(given: argparse.Namespace) -> int:
    """`remove`."""
    from .cli import moving
    return moving.remove(given)


def run_steer(given: argparse.Namespace) -> int:
    """`pause`, `resume`, `throttle`, `complete`, `cancel`."""
    from .cli import moving
    return moving.steer(given)


def run_bench(given: argparse.Namespace) -> int:
    """`bench`."""
    from .cli.bench import command
    return command.run(given)
