"""The exam: every case that others have told of is refused, or reaches the backend as exactly what we say it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import Client
from tests.proxy.exam import Desk, desk
from tests.proxy.exam_attacks import GARDEN, HIDDEN
from tests.proxy.exam_cases import Case
from tests.proxy.exam_ours import OURS
from tests.proxy.exam_requests import GUNICORN, HTTP11PROBE, LLHTTP

SOURCES = {
    "probe": HTTP11PROBE,
    "gunicorn": GUNICORN,
    "llhttp": LLHTTP,
    "garden": GARDEN,
    "hidden": HIDDEN,
    "ours": OURS,
}
CASES = [(f"{source}: {case.name}", case) for source, cases in SOURCES.items() for case in cases]
SHORT = [(name, case) for name, case in CASES if len(case.data) < 1500]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("exam")) as table:
        yield table


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({name for name, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES])
def test_a_case_is_refused_or_arrives_as_we_say(table: Desk, case: Case) -> None:
    table.sit(case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in SHORT])
def test_it_makes_no_difference_how_a_case_arrives(table: Desk, case: Case) -> None:
    def in_two(cut: int):
        def send(client: Client, data: bytes) -> None:
            client.send(data[:cut])
            client.send(data[cut:])

        return send

    size = len(case.data)
    head = case.data.find(b"\r\n\r\n") + 4
    for cut in sorted({1, size // 3, head - 2, head - 1, head, head + 1, size - 1} & set(range(1, size))):
        table.sit(case, in_two(cut))
    if size < 150:
        table.sit(case, Client.drip)


def test_the_books_balance(table: Desk) -> None:
    table.balance()
