from dataclasses import replace

import pytest

from bench import rivals
from bench.cells import QUOTA_CPUS, Cell, all_cells
from bench.harness import Sample
from bench.processes import Cpu
from bench.wrk import Load, Outcome

BUSY = Cell("bodies", "64 B")


def sample(*, proxy: float, wrk: float = 0.1, backend: float = 0.1, others: float = 0.0) -> Sample:
    """Of one second, by CPUs."""
    return Sample(Outcome(1000, 1e6, 0, 1.0, 1.0, 2.0, wrk), Cpu(0.0, proxy), others, backend)


def test_every_cell_has_a_name_of_its_own():
    names = [str(cell) for cell in all_cells(3)]
    assert len(set(names)) == len(names)


def test_what_was_asked_for_is_among_them():
    cells = all_cells(3)
    assert {cell.load.connections for cell in cells} == {1, 16, 64, 256, 1000}
    assert {cell.workers for cell in cells} == {1, 2}
    assert {cell.body for cell in cells} == set(rivals.BODIES)
    assert any(cell.wiring.unix for cell in cells)
    assert any(cell.load.closes and not cell.wiring.keeps for cell in cells)
    assert {cell.load.closes for cell in cells if cell.wiring.tls} == {False, True}
    assert any(cell.quota_cpus == QUOTA_CPUS for cell in cells)
    assert any(cell.load.pace_per_s for cell in cells)
    assert {cell.load.seconds for cell in cells} == {3}


@pytest.mark.parametrize(("cell", "taken", "limit"), [
    (BUSY, sample(proxy=0.95), "proxy"),
    (replace(BUSY, workers=2), sample(proxy=0.95, wrk=0.95), "wrk"),
    (replace(BUSY, workers=9), sample(proxy=1.85, wrk=0.1), "proxy"),
    (BUSY, sample(proxy=0.5, wrk=0.5, backend=0.97), "backend"),
    (BUSY, sample(proxy=0.7, wrk=0.6, backend=0.6), "all CPUs"),
    (BUSY, sample(proxy=0.3, others=1.5), "others"),
    (BUSY, sample(proxy=0.3), "round trips"),
    (replace(BUSY, quota_cpus=0.4), sample(proxy=0.39), "proxy (quota)"),
    (replace(BUSY, quota_cpus=0.4), sample(proxy=0.2, wrk=0.95), "wrk"),
    (replace(BUSY, load=Load(pace_per_s=10)), sample(proxy=0.95), "pace"),
])
def test_what_was_the_limit_is_told(cell, taken, limit):
    assert cell.limit(taken, cpus=2) == limit


def test_large_bodies_cost_by_the_byte():
    taken = sample(proxy=1.0)
    assert BUSY.cost(taken) == pytest.approx(1000)
    assert replace(BUSY, body="1m").cost(taken) == pytest.approx(1e6)
