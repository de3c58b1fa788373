"""An echo server against all 517 cases: ours, or the one that HOTPATH_TEST_WS=HOST:PORT names."""
from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import free_port, running

from . import closing, compressing, fragmenting, framing, limits, utf8
from .play import Case

CASES: list[Case] = [*framing.CASES, *fragmenting.CASES, *utf8.CASES, *closing.CASES, *limits.CASES,
                     *compressing.CASES]

# Of each section with three numbers, or chapter with two: how many cases.
COUNTS = {
    "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20,
    "6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4, "6.10": 3, "6.11": 5,
    "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5, "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8,
    "6.22": 34, "6.23": 7,
    "7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2,
    "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1,
    **{f"12.{i}": 18 for i in range(1, 6)}, **{f"13.{i}": 18 for i in range(1, 8)},
}


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """Where an echo server listens."""
    if given := os.environ.get("HOTPATH_TEST_WS"):
        yield given
    else:
        yield from started()


@pytest.fixture(scope="session")
def raw_echo() -> Iterator[str]:
    """Where ours listens, echoing in C."""
    yield from started("--raw")


def started(*flags: str) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    with running([str(Path(sys.executable).with_name("hotpath-echo")), "--ws", "--listen", address, *flags]) as server:
        server.wait_for_output("^ready: ")
        yield address


def test_there_are_517_cases_under_the_numbers_that_autobahn_gives_them() -> None:
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids)) == 517
    sections = Counter(case_id.rpartition(".")[0] for case_id in ids)
    assert sections == COUNTS
    for section, n in COUNTS.items():
        assert [i for i in ids if i.rpartition(".")[0] == section] == [f"{section}.{k}" for k in range(1, n + 1)]


def test_the_text_tables_hold_as_many_bad_texts_as_they_should() -> None:
    bad = {section: sum(not utf8.is_text(payload) for payload in payloads)
           for section, payloads in utf8.TABLES.items()}
    assert {section: n for section, n in bad.items() if n} == utf8.REFUSED


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_server_does_as_the_case_demands(case: Case, echo: str) -> None:
    case.run(echo)


# It declines compression, which is all that chapters 12 and 13 are about.
PLAIN = [case for case in CASES if case.id[:3] not in ("12.", "13.")]


@pytest.mark.parametrize("case", PLAIN, ids=[case.id for case in PLAIN])
def test_raw_does_so_too(case: Case, raw_echo: str) -> None:
    case.run(raw_echo)
