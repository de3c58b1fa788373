"""What RESULTS.md and PROFILE.md say, as tables: the plots are drawn from it, so no number is copied by hand."""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


class Absent(Exception):
    """A section, table, column or number is not there, or not as expected."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; columns of the same name are told apart by their place."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def cells(self, column: str) -> list[str]:
        """All of a column, the first of that name."""
        if column not in self.columns:
            raise Absent(f"no column {column!r}: {', '.join(self.columns)}")
        at = self.columns.index(column)
        return [row[at] for row in self.rows]

    def numbers(self, column: str) -> list[float]:
        """The same as numbers."""
        return [number(cell) for cell in self.cells(column)]

    def where(self, **of: str) -> Table:
        """The rows with these cells; a name's underlines stand for spaces."""
        wanted = {self.columns.index(name.replace("_", " ")): cell for name, cell in of.items()}
        return Table(self.columns, [row for row in self.rows if all(row[at] == cell for at, cell in wanted.items())])


def number(cell: str) -> float:
    """The first number of a cell: `**1.19 (1.18-1.20)**` is 1.19."""
    found = re.search(r"[+-]?\d[\d,]*(?:\.\d+)?", cell)
    if found is None:
        raise Absent(f"no number in {cell!r}")
    return float(found[0].replace(",", ""))


def spread(cell: str) -> tuple[float, float, float]:
    """Least, middle and most of `0.76 (0.74-0.79)`; three times the same without brackets."""
    found = re.search(r"\(([\d.]+)-([\d.]+)\)", cell)
    middle = number(cell)
    return (float(found[1]), middle, float(found[2])) if found else (middle, middle, middle)


def parts(cell: str) -> tuple[float, float]:
    """User and system time of `9.9 (1.5 + 8.4)`."""
    found = re.search(r"\(([\d.]+) \+ ([\d.]+)\)", cell)
    if found is None:
        raise Absent(f"no two parts in {cell!r}")
    return float(found[1]), float(found[2])


def seconds(cell: str) -> float:
    """`664 ns`, `1.32 µs` in seconds."""
    found = re.fullmatch(r"([\d.]+) (ns|µs|ms|s)", cell)
    if found is None:
        raise Absent(f"no duration: {cell!r}")
    return float(found[1]) * UNITS[found[2]]


def _split(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _tables(text: str) -> Iterator[Table]:
    for found in re.finditer(r"^\|.*\n\|[-:|]+\n(?:\|.*\n?)*", text, re.M):
        first, _, *rows = found[0].splitlines()
        columns = _split(first)
        # `mariadb-dump | mariadb` in a cell is no new column.
        yield Table(columns, [row for row in map(_split, rows) if len(row) == len(columns)])


def tables(text: str, section: str, part: str = "") -> list[Table]:
    """The tables under `## section`, or under its `### part`. Raises Absent when there is none."""
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    body = found[1] if found else ""
    if part:
        found = re.search(rf"^### {re.escape(part)}\n(.*?)(?=^### |\Z)", body, re.M | re.S)
        body = found[1] if found else ""
    made = list(_tables(body))
    if not made:
        raise Absent(f"no table in the section {section!r}" + f", {part!r}" * bool(part))
    return made


def table(text: str, section: str, part: str = "") -> Table:
    """The first of them."""
    return tables(text, section, part)[0]
