import re
from pathlib import Path

import pytest

from bench import processes, system, systems
from bench.harness import Sample
from bench.processes import Cpu
from bench.profile import Hot
from bench.systems import SYSTEMS, Places
from bench.work import Work, outcome, own_cpu

ROOT = Path(__file__).parents[2]
KINDS = [(name, kind) for name, kinds in SYSTEMS.items() for kind in kinds]
# What works in this very process, and so needs nothing that might not be here.
HERE = ("ring", "merge", "unit")


def test_every_system_is_described():
    assert set(SYSTEMS) == {"proxy", "shard", "ide", "crdt", "locking", "chat", "core"}


def test_make_names_every_system_but_the_one_it_takes():
    said = re.search(r"\(SYSTEM=([\w|]+)\)", (ROOT / "Makefile").read_text())
    assert said is not None
    assert {*said[1].split("|"), "proxy"} == set(SYSTEMS)


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[f"{name}-{kind.name}" for name, kind in KINDS])
def test_a_description_is_complete(name, kind):
    assert re.fullmatch(r"[a-z]+", kind.name)
    assert len(kind.words) > 20
    assert [each.name for each in SYSTEMS[name]].count(kind.name) == 1


@pytest.mark.parametrize("kind", [kind for _, kind in KINDS if kind.name in HERE], ids=lambda kind: kind.name)
def test_what_works_here_does_work(kind, tmp_path):
    with kind.opened(Places(tmp_path, tmp_path)) as work:
        done = work.load(0.01)
        assert done.requests > 0
        assert done.seconds >= 0.01
        assert work.pids[0] == work.pid
        assert work.cost(0.01).load.requests > 0


def test_somebodys_programs_are_not_charged_to_their_server():
    work = Work("keystroke", 1, lambda seconds: outcome(1, seconds), alone=True)
    assert work.pids == [1]
    assert own_cpu(1).total_s <= processes.cpu(1).total_s


def seen(kind: systems.Kind, cpu_s: float) -> system.Seen:
    cost = Sample(outcome(1000, 1.0), Cpu(cpu_s, cpu_s), 0.0)
    return system.Seen(kind, "cell", cost, {"recvfrom": 1.0}, [Hot("merge", "table.so", 75.0)],
                       {f"flame-x-{kind.name}.svg": "<svg/>"}, [("`f`", "x.py", "50.0", "60.0")] if kind.python else [])


def test_a_section_says_what_was_loaded_and_shows_all_of_it():
    get, merge, _ = kinds = [kind for _, kind in KINDS if kind.name in ("get", "merge", "put")]
    text = system.section([seen(kind, 0.001) for kind in kinds], top=3)
    assert f"- `{merge.name}`: {merge.words}" in text
    assert "| recvfrom | 1.00 | 1.00 | 1.00 |" in text
    assert f"![{get.name}](flame-x-{get.name}.svg)" in text
    assert text.count(": Python's functions\n") == 2


@pytest.mark.parametrize(("cpu_s", "unit", "told"), [(0.001, "µs/cell", "1.50"), (0.00001, "ns/cell", "15.00")])
def test_what_costs_little_is_told_in_nanoseconds(cpu_s, unit, told):
    merge = next(kind for _, kind in KINDS if kind.name == "merge")
    title, columns, rows = system.tables([seen(merge, cpu_s)], top=1)[2]
    assert (title, columns[-1]) == ("merge: functions", unit)
    assert rows[0] == ("`merge`", "table.so", "75.0", told)
