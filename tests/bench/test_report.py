import pytest

from bench import report

TEXT = """# Results

## a: one

Words.

| what | CPU × nginx (min-max) | p50 ms | p99 ms | p50 ms |
|---|---:|---:|---:|---:|
| 64 B | **1.19 (1.18-1.20)** | 1 | 2 | 3 |
| 1 KiB | 70,632 |  | 5 | 6 |

## b: parts

### first

| what | time |
|---|---:|
| x | 664 ns |

### second

| what | cost |
|---|---:|
| x | 9.9 (1.5 + 8.4) |

| what | other |
|---|---:|
| a | b | c |
| y | 1 |
"""


def test_a_section_is_read_as_columns_and_rows():
    table = report.table(TEXT, "a: one")
    assert table.cells("what") == ["64 B", "1 KiB"]
    assert table.numbers("CPU × nginx (min-max)") == [1.19, 70632.0]
    assert table.cells("p50 ms") == ["1", ""], "of two columns of one name it is the first"


def test_rows_are_chosen_by_their_cells():
    assert report.table(TEXT, "a: one").where(what="64 B", p99_ms="2").numbers("p99 ms") == [2.0]
    assert report.table(TEXT, "a: one").where(what="2 KiB").rows == []


def test_a_part_has_its_own_tables():
    assert report.table(TEXT, "b: parts", "first").cells("time") == ["664 ns"]
    cost, other = report.tables(TEXT, "b: parts", "second")
    assert report.parts(cost.cells("cost")[0]) == (1.5, 8.4)
    assert other.cells("what") == ["y"], "a row with a cell too many is left out"


@pytest.mark.parametrize(("cell", "found"), [
    ("**1.19 (1.18-1.20)**", (1.18, 1.19, 1.20)), ("0.036 (0.035-0.04)", (0.035, 0.036, 0.04)), ("1", (1.0, 1.0, 1.0))])
def test_a_spread_is_read(cell, found):
    assert report.spread(cell) == found


@pytest.mark.parametrize(("cell", "seconds"), [
    ("664 ns", 664e-9), ("1.32 µs", 1.32e-6), ("46.8 ms", 0.0468), ("2 s", 2.0)])
def test_durations_are_read(cell, seconds):
    assert report.seconds(cell) == pytest.approx(seconds)


@pytest.mark.parametrize("ask", [
    lambda: report.table(TEXT, "c"), lambda: report.table(TEXT, "b: parts", "third"), lambda: report.number("none"),
    lambda: report.seconds("5"), lambda: report.parts("9.9"), lambda: report.table(TEXT, "a: one").cells("p42")],
    ids=["section", "part", "number", "duration", "two parts", "column"])
def test_what_is_not_there_is_said(ask):
    with pytest.raises(report.Absent):
        ask()
