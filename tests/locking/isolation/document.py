"""locking/ISOLATION.md: written from what was measured, and read back to compare."""
from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Engine

from tests.locking.isolation.anomalies import ANOMALIES
from tests.locking.isolation.measure import Table

PATH = Path(__file__).parents[3] / "locking" / "ISOLATION.md"
TITLES = {"sqlite": "SQLite", "mariadb": "MariaDB", "postgresql": "PostgreSQL"}
COMMAND = "python -m tests.locking.isolation"

INTRODUCTION = f"""\
# What can go wrong between transactions, and where

Measured, not remembered: `tests/locking/isolation` plays each anomaly on real connections, step by step, and looks at
the rows. The tests fail when a table here is not what the database does. To write this file anew, with MariaDB and
PostgreSQL installed: `{COMMAND}`.

**possible**: it happened. Everything else is prevented: `waits`, because somebody had to wait until another was done;
a number or a name, because somebody was refused with that error; `prevented`, because a reader was shown the rows of
an earlier moment, or nothing that was not committed. Names such as Conflict and Deadlock are this library's; `run`
tried again, and what came of that was right.

The last four columns of each table are the library's, on the server's default level but for the last. *Optimistic*:
`run` with `tx.load` on `Versioned` rows. *Optimistic, ensure_unchanged*: the same, with
`ensure_unchanged(session, *rows)` on all rows that were only read. *Pessimistic*: `run` with `Pessimistic()`.
*Optimistic, SERIALIZABLE*: as the first, on an `engine(url, isolation="SERIALIZABLE")`.
"""

PROMISES = """\
## What the policies promise

Of rows that a unit of work gets by `tx.load`, and changes through the session:

| | no update is lost | what was read still holds at the commit |
|---|---|---|
| `Optimistic`, `Adaptive` | yes | no: write skew (G2-item) and read skew (G-single) are possible |
| `Escalating` | yes | only in attempts that lock |
| any of them with `ensure_unchanged` on all rows only read | yes | yes |
| `Pessimistic` | yes | yes |

"Yes" in both columns makes units of work serializable among the rows they load: `tests/locking/history` looks for
cycles in recorded histories, and compares the outcomes of small programs with all serial orders.

None of them guards what a search did *not* find (PMP, G2): a lock or a version needs a row to sit on. Give the
set a row of its own and load that (`force_increment` raises its version), take an `advisory` lock, let a unique
constraint decide, or use `engine(url, isolation="SERIALIZABLE")`, under which every policy promises everything.
"""

SOURCES = """\
## Sources

Names and definitions: Adya, *Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed
Transactions* (1999); Berenson, Bernstein, Gray, Melton, O'Neil, O'Neil, *A Critique of ANSI SQL Isolation Levels*
(1995). The idea of a table of what databases really do: Kleppmann's *Hermitage*. The transactions played here are our
own.
"""


NOTES = {
    "sqlite": """\
In WAL mode. The library reads outside a transaction and sends BEGIN IMMEDIATE before the first write; at SERIALIZABLE
before the first statement.""",
    "mariadb": """\
InnoDB. innodb_snapshot_isolation is ON in the column that says so and OFF in all others; 11.6.2 made ON the default.
The library's columns: REPEATABLE READ.""",
    "postgresql": """\
READ UNCOMMITTED is READ COMMITTED under another name. The library's columns: READ COMMITTED.""",
}


def version_of(engine: Engine) -> str:
    """Major.minor."""
    with engine.connect() as connection:
        info = connection.dialect.server_version_info
    assert info is not None
    return ".".join(map(str, info[:2]))


def written(tables: dict[str, Table], versions: dict[str, str]) -> str:
    """The whole file."""
    sentences = "\n".join(f"- **{each.name}**, {each.title}: {lowered(each.sentence)}" for each in ANOMALIES)
    parts = [INTRODUCTION, f"## The anomalies\n\n{sentences}\n"]
    parts += [f"## {TITLES[backend]} {versions[backend]}\n\n{NOTES[backend]}\n\n{table_written(table)}"
              for backend, table in tables.items()]
    return "\n".join([*parts, PROMISES, SOURCES])


def lowered(sentence: str) -> str:
    """As it goes on behind a colon."""
    return sentence[0].lower() + sentence[1:]


def table_written(table: Table) -> str:
    """In Markdown: a line for each anomaly, a column for each level."""
    lines = [["", *table], ["---"] * (len(table) + 1)]
    lines += [[anomaly.name, *(column[anomaly.name] for column in table.values())] for anomaly in ANOMALIES]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def tables_read(text: str) -> dict[str, Table]:
    """The tables of a file as `written` makes it, whatever versions it names."""
    tables = {}
    for backend, title in TITLES.items():
        section = re.search(rf"^## {title} [\d.]+$(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
        if section:
            (_, *levels), _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                                      for line in section[1].splitlines() if line.startswith("|")]
            tables[backend] = {level: {row[0]: row[i] for row in rows} for i, level in enumerate(levels, 1)}
    return tables


def text_without_tables(text: str) -> str:
    """All but what is measured."""
    lines = [re.sub(r"^(## \w+) [\d.]+$", r"\1", line) for line in text.splitlines() if not line.startswith("| ")]
    return "\n".join(lines)

