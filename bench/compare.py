"""The command line: `python -P bench WHAT [options]`."""
from __future__ import annotations

import argparse
import sys

from . import (
    chat,
    core,
    crdt,
    flame,
    harness,
    hello,
    ide,
    idle,
    idle_ws,
    locking,
    locking_study,
    plots,
    processes,
    profile,
    proxy,
    reload,
    ring_movement,
    rivals,
    shard,
    syscalls,
    system,
    websocket,
    wrk,
)

SUBJECTS = {
    "proxy": proxy,
    "idle": idle,
    "reload": reload,
    "core": core,
    "ring": ring_movement,
    "crdt": crdt,
    "chat": chat,
    "shard": shard,
    "ide": ide,
    "locking": locking,
    "locking_study": locking_study,
    "hello": hello,
    "websocket": websocket,
    "idle_ws": idle_ws,
    "syscalls": syscalls,
    "profile": profile,
    "flame": flame,
    "system": system,
    "plots": plots,
}
FAILURES = (processes.StartError, rivals.WrongAnswer, wrk.LoadError, syscalls.PerfError, harness.BenchmarkError)


def main() -> int:
    """Run one subject, or all with their defaults; 1 when one of them fails or a contender answers wrongly."""
    parser = argparse.ArgumentParser(prog="python -P bench", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="WHAT")
    for name, module in SUBJECTS.items():
        module.add_arguments(subjects.add_parser(name, help=(module.__doc__ or "").partition("\n")[0]))
    subjects.add_parser("all", help="every one of these, with its defaults")
    options = parser.parse_args()
    status = 0
    for name in SUBJECTS if options.subject == "all" else [options.subject]:
        try:
            SUBJECTS[name].run(parser.parse_args([name]) if options.subject == "all" else options)
        except FAILURES as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            status = 1
    return status
