"""hotpath-ide against a bare PTY, node-pty with ws, and the bare calls: what a terminal, a save and a change cost."""
from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable

from . import ide_house, ide_project, ide_terminal, results
from .harness import BenchmarkError, run_parts

ECHO = ("terminal", "p50, us", "more than bare", "p99, us")
FLOW = ("payload, terminal", "MB/s", "ratio to bare", "CPU ms/MB", "ratio to bare")
INTERRUPT = ("terminal", "p50, ms", "worst, ms")
MEMORY = ("server", "terminals", "KiB each")
PROMPT = ("sandbox", "p50, ms", "worst, ms", "bare", "p50, ms", "ms more", "ratio")
SAVES = ("2 KB", "p50, ms", "p99, ms", "ratio")
CHANGES = ("", "p50, ms", "p99, ms", "changes")
SCRIPT = ("page", "KB", "of it bundles", "files")

TERMINAL_NOTE = """One client, in Python, on the same machine; `sandbox: process`. hotpath's client acknowledges what
it reads, as the page does once it is shown. The bare PTY is read by this program itself, for throughput by a process
that only reads. CPU is user+sys of the server's own process, without the program that writes. A key is echoed by the
terminal, the program sleeps. `yes`: two bytes to a line, three as the terminal shows them; `text`: 75 to a line;
`raw`: no work for the line discipline. Ctrl-C comes after {flood:g} s of a flood of text, on a screen that shows
10 MB/s; the time ends with the prompt on it. Of a program's last KB node-pty may lose some; a thousandth is forgiven.
"""
MEMORY_NOTE = "Private dirty pages of the server's process, for each further shell at its prompt, with its client.\n"
PROMPT_NOTE = """POST /api/projects, POST …/terminals, its socket, until the prompt is shown. Bare: `bash` on a PTY; for
docker a container of the same image by the SDK: create, start, exec.
"""
FILES_NOTE = """A save in place of another, by one client on one connection: compare-and-swap, history and all, against
the calls that any safe editor makes, on the same file system. A change is one write by another process in the project's
folder; its event carries the hash of what was written.
"""
SCRIPT_NOTE = "All modules that a project's page imports before it can be used, each compressed with gzip -9.\n"


def section(title: str, options: argparse.Namespace, tables: list[results.Shown], note: str) -> None:
    """Show the tables, and write the section when asked."""
    results.publish(title, tables, note, versions=ide_house.versions(), write=options.write)


def terminal(options: argparse.Namespace) -> None:
    """Echo, throughput, Ctrl-C, memory."""
    with ide_house.ide("process") as server, ide_house.node() as rival:
        house = ide_terminal.House(server, rival)
        tables = [
            (ECHO, ide_terminal.echo(house, keys=options.keys, rounds=options.rounds)),
            (FLOW, ide_terminal.throughput(house, rounds=options.rounds)),
            (INTERRUPT, ide_terminal.interrupts(house, rounds=options.rounds)),
        ]
        idle = [(MEMORY, ide_terminal.memory(house, terminals=options.terminals))]
    section("ide: a terminal", options, tables, TERMINAL_NOTE.format(flood=ide_terminal.FLOOD_S))
    section("ide: memory of idle terminals", options, idle, MEMORY_NOTE)


def prompt(options: argparse.Namespace) -> None:
    """Create to prompt."""
    kinds = options.kinds.split(",")
    if "bubblewrap" in kinds and shutil.which("bwrap") is None:
        raise BenchmarkError("no bwrap: install Debian's package bubblewrap, or leave it out of --kinds")
    if "docker" in kinds and (missing := ide_project.missing_engine()) is not None:
        raise BenchmarkError(f"{missing}, or leave docker out of --kinds")
    rows = ide_project.prompts(kinds, rounds=5 * options.rounds)
    section("ide: from nothing to a prompt", options, [(PROMPT, rows)], PROMPT_NOTE)


def files(options: argparse.Namespace) -> None:
    """Saves, and changes that are told."""
    with ide_house.ide("process") as server:
        tables = [(SAVES, ide_project.saves(server, count=options.saves)),
                  (CHANGES, ide_project.changes(server, count=options.changes))]
    section("ide: files", options, tables, FILES_NOTE)


def script(options: argparse.Namespace) -> None:
    """What the page weighs."""
    section("ide: script before first use", options, [(SCRIPT, ide_project.scripts())], SCRIPT_NOTE)


RUNS: dict[str, Callable[[argparse.Namespace], None]] = {
    "terminal": terminal, "prompt": prompt, "files": files, "script": script}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench ide`."""
    parser.add_argument("--parts", default=",".join(RUNS), help="which of them (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B rounds (%(default)s)")
    parser.add_argument("--keys", type=int, default=500, help="echoes of each in a round (%(default)s)")
    parser.add_argument("--terminals", type=int, default=100, help="idle ones (%(default)s)")
    parser.add_argument("--kinds", default="process,bubblewrap,docker", help="sandboxes (%(default)s)")
    parser.add_argument("--saves", type=int, default=300, help="of each (%(default)s)")
    parser.add_argument("--changes", type=int, default=200, help="writes that are told (%(default)s)")
    parser.add_argument("--write", action="store_true", help="replace the sections in bench/RESULTS.md")


def run(options: argparse.Namespace) -> None:
    """Measure, show, and write the sections when asked."""
    run_parts(RUNS, options)
