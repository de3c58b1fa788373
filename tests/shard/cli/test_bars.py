from hotpath.shard.cli.bars import bars, line
from hotpath.shard.cli.documents import ReshardDoc, read

from . import documents
from .screens import drawn


def reshard(**changes):
    return read(documents.reshard(**changes), ReshardDoc)


def test_each_step_has_its_bar():
    lines = drawn(bars(reshard())).splitlines()
    assert lines[0] == "add s2  copying  s0, s1 → s2"
    assert [(text.split()[0], text.split()[-6:]) for text in lines[1:4]] == [
        ("copied", ["50.0", "%", "500", "of", "1,000", "rows"]),
        ("verified", ["0.0", "%", "0", "of", "1,000", "rows"]),
        ("cleaned", ["0.0", "%", "0", "of", "1,000", "rows"])]
    assert lines[4:] == ["slots     80 of 200 copied, 0 verified", "rows      100 moved by writes of clients",
                         "speed     12,346/s, cap 20,000/s; ETA 1 m 23 s"]


def test_it_fits_into_eighty_columns():
    assert all(len(text) <= 80 for text in drawn(bars(reshard()), width=80).splitlines())


def test_before_the_rows_are_counted_nothing_is_claimed():
    rows = {"total": 0, "copied": 0, "pulled": 0, "dirty": 0, "verified": 0, "deleted": 0}
    early = reshard(state="preparing", rows=rows, eta_s=None, moves=[])
    assert "copied" in drawn(bars(early))
    assert "0 of – rows" in drawn(bars(early))
    assert line(early) == "add s2: preparing, rows not counted yet"


def test_a_move_of_no_rows_is_complete():
    rows = {"total": 0, "copied": 0, "pulled": 0, "dirty": 0, "verified": 0, "deleted": 0}
    assert "100.0 %" in drawn(bars(reshard(rows=rows)))


def test_an_error_stands_below_the_bars_as_it_is():
    stuck = reshard(paused=True, error="s2: disk full [errno 28]")
    assert drawn(bars(stuck)).splitlines()[0].startswith("add s2  paused in copying")
    assert drawn(bars(stuck)).splitlines()[-1] == "s2: disk full [errno 28]"
    assert line(stuck).endswith(", s2: disk full [errno 28]")


def test_a_held_one_says_so():
    assert "held in verified" in drawn(bars(reshard(state="verified", hold=True)))
    assert line(reshard(state="verified", hold=True)).startswith("add s2: verified, held, copied 50.0 %")


def test_a_speed_is_told_while_rows_move():
    assert line(reshard()).endswith("cleaned 0.0 % of 1,000 rows, 12,346/s, ETA 1 m 23 s")


def test_at_the_end_there_is_no_speed():
    over = read(documents.done(), ReshardDoc)
    assert line(over) == "add s2: done, copied 100.0 % verified 100.0 % cleaned 100.0 % of 1,000 rows"
    assert "ETA" not in drawn(bars(over))
