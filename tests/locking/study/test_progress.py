import io

from rich.console import Console

from hotpath.locking.study import progress
from hotpath.locking.study.grid import Grid
from hotpath.locking.study.progress import about, shown

from .lines import line

GRID = Grid(rows=(1, 16), workers=(2,), work_ms=(0,), policies=("naive", "optimistic"), seconds=1.0, repeat=1)
STEPS = [line("optimistic", 1, throughput=1234.5), line("naive", 1), line("optimistic", 16), line("naive", 16)]


def seen(monkeypatch, steps, *, terminal):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **how: Console(
        file=screen, force_terminal=terminal, width=120, color_system=None, **{**how, "stderr": False}))
    with shown(GRID) as shows:
        for step in steps:
            shows.step(step)
    return screen.getvalue()


def test_each_cell_is_a_line(monkeypatch):
    assert seen(monkeypatch, STEPS, terminal=False).splitlines() == [
        "4 × 1 s: about 4 s",
        "2/4  1 row, 2 workers, 0 ms work: optimistic 1,234/s, naive 100/s",
        "4/4  16 rows, 2 workers, 0 ms work: optimistic 100/s, naive 100/s"]


def test_on_a_terminal_a_bar_says_how_far_it_is_and_where(monkeypatch):
    screen = seen(monkeypatch, STEPS[:3], terminal=True)
    assert "3/4" in screen
    assert "16 rows, 2 workers, 0 ms work: naive" in screen      # what is measured now
    assert "━" in screen
    assert "2/4  1 row, 2 workers, 0 ms work: optimistic 1,234/s, naive 100/s" in screen


def test_a_long_time_is_told_in_minutes():
    assert about(119) == "about 119 s"
    assert about(1944 * 3.0) == "about 97 min"
