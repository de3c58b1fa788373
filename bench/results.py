"""RESULTS.md and PROFILE.md: replace one section, leave the rest as it is."""
from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import machine

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
PROFILE = HERE / "PROFILE.md"

Shown = tuple[Sequence[str], Sequence[Sequence[str]]]       # columns and rows


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers and align right."""
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def console() -> Console:
    """The terminal; what is none is as wide as a table needs, rather than the 80 columns that rich assumes."""
    return Console(width=None if sys.stdout.isatty() else 240)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], on: Console | None = None) -> None:
    """The same table on the terminal, or on the console of a progress bar."""
    drawn = Table(*columns, title=title, title_justify="left")
    for column in drawn.columns[1:]:
        column.justify = "right"
    for row in rows:
        drawn.add_row(*map(escape, row))        # a name in brackets is no mark-up
    (on or console()).print(drawn)


def replace_section(text: str, title: str, body: str) -> str:
    """`text` with the section `## title` replaced, or added at the end when there is none."""
    section = f"## {title}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.M | re.S)
    if pattern.search(text) is None:
        return f"{text.rstrip()}\n\n{section}"
    return pattern.sub(lambda _: section + "\n", text, count=1).rstrip() + "\n"


def write_section(path: Path, title: str, body: str) -> None:
    """Replace the section in the file, which must exist: its top says what the file is."""
    path.write_text(replace_section(path.read_text(), title, body))


def publish(title: str, tables: Sequence[Shown], note: str, *, versions: str, write: bool) -> None:
    """Show the tables and the note; with `write` they become RESULTS.md's section."""
    for columns, rows in tables:
        show(title, columns, rows)
    print(note.partition("![")[0])          # a picture cannot be shown here
    if write:
        body = "\n".join(table(columns, rows) for columns, rows in tables)
        write_section(RESULTS, title, f"{machine.header(versions=versions)}\n{body}\n{note}")
