"""The page's rules, each in its module: who waits from where to where, what a run means, what a study found."""
from __future__ import annotations

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.pages import add_page
from hotpath.core.serve.testing import serving
from hotpath.locking.web.service import PAGE


@pytest.fixture(scope="module")
def page(browser):
    """A browser that may import the page's modules; of the page itself nothing runs."""
    app = Router()
    add_page(app, PAGE)
    with serving(app) as served:
        page = browser.new_page()
        page.goto(f"http://{served.address}/icon.svg")
        yield page
        page.close()


@pytest.fixture
def call(page):
    """`call(module, code, argument)`: the value of the JavaScript `code`, which sees `m`, the module, and `x`."""
    def called(module, code, argument=None):
        return page.evaluate(f"async (x) => {{ const m = await import('/{module}'); return {code}; }}", argument)

    return called


def steps(*rows):
    return [{"n": n, "t_ms": t_ms, "actor": actor, "sql": sql, "outcome": outcome}
            for n, (t_ms, actor, sql, outcome) in enumerate(rows, 1)]


WAITING = steps((0, "a", "LOCK", "ok"), (2, "b", "LOCK", "wait"), (5, "a", "UPDATE", "ok"), (7, "a", "COMMIT", "ok"),
                (8, "b", "LOCK", "ok"), (9, "b", "COMMIT", "ok"))


def test_who_waits_has_a_bar_from_asking_to_getting(call):
    trace = call("trace.js", "m.traceOf(x)", WAITING)
    assert trace["actors"] == ["a", "b"]
    assert trace["waits"] == [{"lane": 1, "from": 1, "to": 4, "isOver": True}]
    assert [row["rails"] for row in trace["rows"]] == [
        ["first", "none"], ["line", "wait-first"], ["line", "wait"], ["last", "wait"], ["none", "wait-to"],
        ["none", "last"]]
    assert [row["waitedMs"] for row in trace["rows"]] == [None, None, None, None, 6, None]


def test_who_never_gets_it_waits_to_the_end(call):
    trace = call("trace.js", "m.traceOf(x)", WAITING[:3])
    assert trace["waits"] == [{"lane": 1, "from": 1, "to": 2, "isOver": False}]
    assert [row["rails"][1] for row in trace["rows"]] == ["none", "wait-first", "wait-to"]


def test_tries_are_counted_for_each_actor(call):
    trace = call("trace.js", "m.traceOf(x)", steps(
        (0, "a", "UPDATE", "ok"), (1, "b", "UPDATE", "conflict"), (2, "b", None, "retry"), (3, "a", "COMMIT", "ok"),
        (4, "b", "UPDATE", "conflict"), (5, "b", None, "retry")))
    assert [row["attempt"] for row in trace["rows"]] == [1, 1, 1, 1, 2, 2]
    said = call("trace.js", "m.traceOf(x).rows.map(m.outcomeOfRow)", steps(
        (0, "b", "UPDATE", "conflict"), (2, "b", None, "retry"), (4, "b", None, "conflict"), (5, "b", None, "retry")))
    assert said == ["conflict: somebody was first", "starts over: try 2",
                    "conflict: what it had read has changed", "starts over: try 3"]


def test_a_run_without_a_step_is_drawn_too(call):
    assert call("trace.js", "m.traceOf([])") == {"actors": [], "rows": [], "waits": [], "startMs": 0, "endMs": 0}


@pytest.mark.parametrize(("ms", "text"), [(0, "0.0 ms"), (0.44, "0.4 ms"), (9.96, "10.0 ms"), (35.2, "35 ms"),
                                          (999, "999 ms"), (1240, "1.2 s")])
def test_a_time_is_as_exact_as_one_can_read(call, ms, text):
    assert call("trace.js", "m.duration(x)", ms) == text


@pytest.mark.parametrize(("scenario", "verdict", "measure", "sentence"), [
    ("lost-update", "anomaly", {"start": 100, "deltas": [30, 50], "final": 150, "lost": 30},
     "100 + 30 + 50 is 180, but the row says 150: 30 went missing, and nobody was told."),
    ("lost-update", "safe", {"start": 100, "deltas": [30, 50], "final": 180, "lost": 0},
     "100 + 30 + 50 is 180, and that is what the row says."),
    ("write-skew", "anomaly", {"on_call": 0},
     "Nobody is on call. Each change was right by itself; the two together broke the rule."),
    ("write-skew", "safe", {"on_call": 1}, "1 doctor on call, as the rule wants: who came second learned that the "
     "first had left, and stayed."),
    ("deadlock", "safe", {"completed": 2}, "Both came to their end, and nobody waits any more."),
    ("deadlock", "anomaly", {"completed": 1}, "Only 1 transaction came to an end."),
    ("seat-booking", "anomaly", {"seats": 1, "clients": 3, "sold": 3},
     "3 bookings for 1 seat: somebody has paid for a seat that another will sit in."),
    ("seat-booking", "safe", {"seats": 1, "clients": 3, "sold": 1},
     "1 booking for 1 seat: 2 clients came too late, and learned it in time."),
    ("bank-transfer", "anomaly", {"start": 300, "final": 290},
     "The accounts held 300 together, and now hold 290: 10 is gone."),
    ("bank-transfer", "anomaly", {"start": 300, "final": 310},
     "The accounts held 300 together, and now hold 310: 10 came from nowhere."),
    ("bank-transfer", "safe", {"start": 300, "final": 300}, "The accounts held 300 together, and still do."),
    ("one-of-tomorrow", "safe", {"some_thing": [1, 2]}, "Some thing 1, 2"),
])
def test_the_verdict_is_a_sentence_from_the_data(call, scenario, verdict, measure, sentence):
    given = {"scenario": scenario, "verdict": verdict, "measure": measure}
    assert call("verdict.js", "m.findingOf(x)", given) == sentence


@pytest.mark.parametrize(("verdict", "ok", "title"), [
    ("safe", True, "Safe"), ("anomaly", True, "Broken"), ("anomaly", False, "Broken, which nobody expected")])
def test_a_verdict_that_was_not_expected_says_so(call, verdict, ok, title):
    assert call("verdict.js", "m.titleOf(x)", {"verdict": verdict, "ok": ok}) == title


@pytest.mark.parametrize(("attempts", "rows", "verdict", "sentence"), [
    (2, WAITING, "safe", "6.0 ms went by in waiting."),
    (3, WAITING, "safe", "One try had to start over. 6.0 ms went by in waiting."),
    (4, WAITING[:1] + WAITING[4:], "safe", "2 tries had to start over."),
    (2, WAITING[:1] + WAITING[4:], "safe", "Nobody waited, and nobody had to start over."),
    (2, WAITING[:1] + WAITING[4:], "anomaly", ""),
])
def test_the_price_of_an_end_is_told(call, attempts, rows, verdict, sentence):
    code = "m.priceOf(x, (await import('/trace.js')).traceOf(x.steps))"
    assert call("verdict.js", code, {"attempts": attempts, "verdict": verdict, "steps": rows}) == sentence


def test_those_that_fail_come_first(call):
    assert call("words.js", "m.failingFirst(x)", ["unchanged", "naive", "pessimistic", "version-only"]) == [
        "naive", "version-only", "unchanged", "pessimistic"]


def test_keywords_stand_out_and_nothing_is_lost(call):
    sql = "UPDATE stock\n SET amount=1 WHERE name = '<b>SELECTED</b>' FOR UPDATE"
    code = "m.highlighted(x).map((part) => typeof part === 'string' ? part : [part.textContent])"
    assert call("sql.js", code, sql) == ["", ["UPDATE"], " stock ", ["SET"], " amount=1 ", ["WHERE"],
                                         " name = '<b>SELECTED</b>' ", ["FOR UPDATE"], ""]


def cell(prob, workers=4):
    return {"workers": workers, "work_ms": 1, "conflict_prob": prob}


@pytest.mark.parametrize(("cells", "sentence"), [
    ([], "Nothing was measured on x."),
    ([None, None], "On x checking at the end was never slower than locking at the start."),
    ([0.125], "On x locking at the start is the faster way once 13\u00a0% of the tries conflict, depending on how many "
              "work and for how long."),
    ([0.5, 0.02, None], "On x locking at the start is the faster way once 2.0\u00a0% to 50\u00a0% of the tries "
                        "conflict, depending on how many work and for how long. In 1 of 3 settings it never was."),
])
def test_a_study_is_told_in_a_sentence(call, cells, sentence):
    given = {"backend": "x", "crossover": [cell(prob) for prob in cells]}
    assert call("crossover.js", "m.findingOf(x)", given) == sentence
