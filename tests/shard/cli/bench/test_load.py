import threading
from contextlib import contextmanager

import pytest

from hotpath.shard.cli.bench.load import Summary, Taken, load, paired
from hotpath.shard.cli.bench.mixes import MIXES, PAGE, ROWS


class Rows:
    """A client over a dict that refuses what a table would refuse."""

    def __init__(self, rows):
        self.rows = rows
        self.calls = []

    def get(self, key):
        self.calls.append("get")
        return self.rows[key]

    def insert(self, key):
        self.calls.append("insert")
        assert key not in self.rows
        self.rows[key] = 0

    def update(self, key, likes):
        self.calls.append("update")
        assert key in self.rows
        self.rows[key] = likes

    def delete(self, key):
        self.calls.append("delete")
        del self.rows[key]

    def page(self, after):
        self.calls.append("page")
        assert after + PAGE < ROWS
        return PAGE


class Fake:
    """A contender over one dict."""

    def __init__(self, name="fake", *, fails=False):
        self.name = name
        self.rows = dict.fromkeys(range(ROWS), 0)
        self.threads = set()
        self.fails = fails

    @contextmanager
    def client(self):
        self.threads.add(threading.get_ident())
        if self.fails:
            raise RuntimeError("no connection")
        yield Rows(self.rows)


@pytest.mark.parametrize("mix", MIXES)
def test_no_thread_meets_another_in_any_round(mix):
    fake = Fake()
    for round_ in range(3):
        taken = load(fake, MIXES[mix], threads=4, seconds=0.02, round_=round_)
        assert len(taken.latencies_s) >= 4
        assert list(taken.latencies_s) == sorted(taken.latencies_s)
    assert len(fake.threads) >= 4


def test_crud_leaves_nothing_but_the_last_row_of_each_thread():
    client = Rows({})
    operation = MIXES["crud"](client, 0, 0)
    for _ in range(10):
        operation()
    assert client.calls == ["insert", "get", "update", "get", "delete"] * 2
    assert client.rows == {}


def test_whoever_cannot_begin_says_why_and_nobody_waits_for_it():
    with pytest.raises(RuntimeError, match="no connection"):
        load(Fake(fails=True), MIXES["read"], threads=3, seconds=60)


def test_what_fails_on_the_way_is_raised():
    fake = Fake()
    fake.rows = {}
    with pytest.raises(KeyError):
        load(fake, MIXES["read"], threads=3, seconds=0.01)


def test_even_who_comes_too_late_does_it_once():
    assert len(load(Fake(), MIXES["read"], threads=3, seconds=0).latencies_s) == 3


def test_contenders_take_turns():
    order = []
    taken = paired([Fake("a"), Fake("b")], MIXES["read"], threads=1, seconds=0.03, rounds=3, step=order.append)
    assert order == ["a", "b"] * 3
    assert {name: len(rounds) for name, rounds in taken.items()} == {"a": 3, "b": 3}


def test_a_summary_is_of_medians():
    rounds = [Taken(2.0, 0.001 * n, [0.001 * n] * 100) for n in (1, 2, 9)]
    assert Summary.of(rounds) == Summary(50.0, pytest.approx(2.0), pytest.approx(2.0), pytest.approx(20.0))
    assert Taken(1.0, 0.0, [0.001 * n for n in range(100)]).quantile_ms(0.99) == pytest.approx(99.0)
