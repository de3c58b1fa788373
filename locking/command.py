"""The command `hotpath-locking`: its words, and who does what they say."""
from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

from hotpath import __version__
from hotpath.core.serve.command import run_command
from hotpath.core.serve.config import Parser, add_flags

from .study import grid

EXITS = ("Exit status: 0; 1 when it was refused or failed, or `show` saw a verdict that it should not; 2 for a "
         "mistake in file or flags.")
DATABASES = "sqlite:///FILE, mysql+mysqlconnector://… or postgresql+psycopg://…"
MAX_PACE_S = 60.0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="hotpath-locking", allow_abbrev=False,
        description="Optimistic and pessimistic locking: see the anomalies happen, serve items with ETags and locks, "
                    "measure which way is faster on your database.",
        epilog="`hotpath-locking COMMAND --help` says more. " + EXITS)
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, about: str, description: str, run: Callable[[argparse.Namespace], int]) -> Parser:
        made = commands.add_parser(name, allow_abbrev=False, help=about, description=description, epilog=EXITS)
        made.set_defaults(run=run)
        return made

    one = command("serve", "serve until told to stop",
                  "Serve items with ETag, If-Match and locks, counters under every policy, scenarios, and the page.",
                  run_serve)
    one.epilog = ("FILE (YAML) holds listen, workers, data, url, token, pool, and limits, timeouts, log, pid_file and "
                  "user as every server's. A flag wins over FILE. Signals: HUP takes on what can change without a "
                  "restart, TERM or QUIT drain and stop, USR1 reopens the logs, USR2 upgrades the binary. " + EXITS)
    add_flags(one)
    one.add_argument("--data", metavar="DIR", help="where the SQLite file is kept (default: ./locking-data)")
    one.add_argument("--url", metavar="DATABASE", help=f"another database: {DATABASES}")

    one = command("show", "play a scenario step by step",
                  "Play a scenario: first without a lock, so that it goes wrong, then prevented in each way.", run_show)
    one.add_argument("name", metavar="NAME|all",
                     help="lost-update, write-skew, deadlock, seat-booking, bank-transfer, or all")
    one.add_argument("--policy", metavar="P", help="only this one (default: each in turn)")
    one.add_argument("--url", metavar="DATABASE", type=filled,
                     help=f"where (default: a temporary SQLite file): {DATABASES}")
    one.add_argument("--pace", metavar="SECONDS", type=pace, default=0.0,
                     help="rest between two steps, to follow them by eye (default: 0)")
    one.add_argument("--json", action="store_true", help="a JSON line for each step, then one for the result")

    one = command("study", "measure where one policy overtakes another",
                  "Measure every policy in each cell of a grid (rows shared, workers, time between read and write), "
                  "and write study.csv, summary.json, and the plots throughput, p99 and wasted as PNG and SVG.",
                  run_study)
    one.add_argument("--url", metavar="DATABASE", type=filled,
                     help=f"where (default: a temporary SQLite file in DIR): {DATABASES}")
    one.add_argument("--out", metavar="DIR", required=True, type=filled, help="where the files are written")
    grid.add_flags(one)
    return parser.parse_args(argv)


def filled(text: str) -> str:
    """For argparse: anything but nothing."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; allowed: anything else")
    return text


def pace(text: str) -> float:
    """Seconds, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_PACE_S:        # nan is never within
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: 0 to {MAX_PACE_S:g} seconds")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 when it was refused or failed, 2 for a mistake in file or flags."""
    return run_command("hotpath-locking", arguments(argv))


# Each command imports what it alone needs.

def run_serve(given: argparse.Namespace) -> int:
    """`serve`."""
    from . import server
    return server.run(given)


def run_show(given: argparse.Namespace) -> int:
    """`show`."""
    from .scenarios import show
    return show.run(given)


def run_study(given: argparse.Namespace) -> int:
    """`study`."""
    from .study.command import run
    return run(given)
