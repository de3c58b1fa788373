"""Each number that a page shows beside a command stands in a table which that command wrote."""
from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = [ROOT / "bench" / "RESULTS.md", ROOT / "bench" / "PROFILE.md",
           ROOT / "locking" / "study" / "shipped" / "README.md"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?")
SHOWN = re.compile(r"\n## (?:Numbers|Measured)\n(.*?)(?=\n## |\Z)", re.DOTALL)
TOLD_BY = re.compile(r'`make bench ARGS="?(\w+)')
# What a page may do with a measured value: µs for ms, thousands for units; else as it is.
UNITS = (1, 1000, 0.001)


class Row(NamedTuple):
    """A line of a page's table: what it is about, what it claims, and which subject of `make bench` says so."""

    label: str
    claims: str
    subject: str


def numbers(text: str) -> list[str]:
    """As they are written."""
    return [found.rstrip(",") for found in NUMBER.findall(text)]


def value(number: str) -> float:
    return float(number.replace(",", ""))


def in_words(text: str) -> str:
    """Wherever its lines end, and whichever Python runs it."""
    return re.sub(r"\s+", " ", text).replace(".venv/bin/", "")


def lines(text: str) -> list[str]:
    """Those of tables."""
    return [line for line in text.splitlines() if line.startswith("|")]


@cache
def sections() -> dict[str, set[float]]:
    """What was measured, by the command that measured it: a subject of `python -P bench`, or a line for a shell."""
    found: dict[str, set[float]] = {}
    for page in WRITTEN:
        for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
            if (block := re.search(r"^```\n(.*?)\n```", section, re.MULTILINE | re.DOTALL)) is None:
                continue
            subject = re.match(r"python -P bench (\w+)", block[1])
            values = map(value, numbers("\n".join(lines(section))))
            found.setdefault(subject[1] if subject else in_words(block[1]), set()).update(values)
    return found


def stands(number: str, measured: set[float]) -> bool:
    """Whether it is a measured value, or one rounded to as many digits."""
    half = 0.5 * 10.0 ** -len(number.partition(".")[2]) + 1e-9
    return any(abs(one * unit - value(number)) <= half for one in measured for unit in UNITS)


def rows(page: str) -> Iterator[Row]:
    """Of the tables of results, whose last column has a command; where it is empty, the one above holds."""
    for section in SHOWN.findall(page):
        subject, table = "", lines(section)
        for i, line in enumerate(table):
            label, *claims, command = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            if line.startswith("|---") or (i + 1 < len(table) and table[i + 1].startswith("|---")):
                continue
            if told := TOLD_BY.search(command):
                subject = told[1]
            yield Row(label, " ".join(claims), subject)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_number_in_a_table_was_measured_by_the_command_beside_it(page):
    unknown = {row.label: (row.subject, missing) for row in rows(page.read_text()) if (missing := [
        number for number in numbers(row.claims) if not stands(number, sections().get(row.subject, set()))])}
    assert unknown == {}


@pytest.mark.parametrize("command", sorted(command for command in sections() if " " in command))
def test_a_number_beside_a_command_for_a_shell_was_measured_by_it(command):
    told = [paragraph for page in PAGES for paragraph in page.read_text().split("\n\n")
            if command in in_words(paragraph)]
    claims = numbers(re.sub(r"`[^`]*`", "", " ".join(told)))
    assert len(claims) > 1
    assert [number for number in claims if not stands(number, sections()[command])] == []


def test_there_is_much_to_compare():
    assert len(list(rows((ROOT / "README.md").read_text()))) > 10
    assert {"proxy", "chat", "crdt", "shard", "ide", "locking", "core", "hello", "syscalls"} <= sections().keys()


def test_a_number_that_nobody_measured_is_found():
    page = ("\n## Measured\n\n| x | us |\n|---|---|---|\n| of us | 1.25 µs, 7 of 9 | `make bench ARGS=x` |\n"
            "| of all | 3 ms | |\n")
    assert list(rows(page)) == [Row("of us", "1.25 µs, 7 of 9", "x"), Row("of all", "3 ms", "x")]
    measured = {1.2462, 7.2, 2999.8, 1200.4}
    assert [number for number in ("1.25", "7", "9", "3", "1,200") if not stands(number, measured)] == ["9"]
