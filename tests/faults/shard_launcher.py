"""The real command, that dies or stops at a named step: `python -P -m tests.faults.shard_launcher serve …`.

Words that are not of the command: `carrier FILE` moves rows until there is nothing to do; `carriers FILE` is one after
the other, as long as they are killed.

HOTPATH_SHARD_AT      the step, or the beginning of its name
HOTPATH_SHARD_DOES    kill: SIGKILL. stop: SIGSTOP, until somebody wakes it. Only once; `die` dies once at each step
HOTPATH_SHARD_ONCE    a file where steps are noted that this happened at: processes that share it share the once
HOTPATH_SHARD_MUTANT  a mistake of tests.faults.shard_mutants
HOTPATH_SHARD_LEASE   seconds after which another mover takes over from a dead one; dead workers are replaced at once
"""
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hotpath.core import crew
from hotpath.shard import command, steps
from hotpath.shard.cli import carrier
from hotpath.shard.mover import job, mover

# The group that writes: no other thread may come between the look and the note.
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "die": signal.SIGKILL}


def place_steps() -> None:
    """As the environment says."""
    at, does = os.environ.get("HOTPATH_SHARD_AT", ""), os.environ.get("HOTPATH_SHARD_DOES", "")
    if not does:
        return
    once = Path(os.environ["HOTPATH_SHARD_ONCE"])

    def reached(step: str) -> None:
        if not step.startswith(at):
            return
        name = step.replace(" ", "_").replace("/", "_") if does == "die" else "once"
        try:
            # Whoever makes the file is the one.
            os.close(os.open(once / name, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        (once / f"{name}.pid").write_text(str(os.getpid()))
        os.kill(os.getpid(), SIGNALS[does])

    once.mkdir(exist_ok=True)
    steps.reached = reached


def main() -> int:
    """The command."""
    if lease := os.environ.get("HOTPATH_SHARD_LEASE"):
        job.LEASE_S = mover.LEASE_S = float(lease)
        job.BEAT_S = job.LEASE_S / 6
        mover.LOOK_S = mover.RETRY_S = 0.02
        crew.PAUSE_MAX_S = 0.1      # a worker that died is started again at once, however often
    if mutant := os.environ.get("HOTPATH_SHARD_MUTANT"):
        from tests.faults.shard_mutants import MUTANTS

        MUTANTS[mutant]()
    place_steps()
    match sys.argv[1]:
        case "carrier":
            return carrier.main(sys.argv[2:])
        case "carriers":
            return carriers(sys.argv[2:])
    return command.main()


def carriers(argv: list[str]) -> int:
    """One carrier after the other, until one is not killed. Forked: to start Python takes longer than what they do."""
    while True:
        child = os.fork()
        if child == 0:
            os._exit(carrier.main(argv))
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return abs(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main())
