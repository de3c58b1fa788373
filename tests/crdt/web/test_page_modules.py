"""The page's rules, each in its module: what a stamp says, how values are typed, who differs, which writes lost."""
from __future__ import annotations

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.testing import serving
from hotpath.crdt.web.pages import routes
from tests.browser import chromium

A1, A2, B1, C1 = (f"{ms << 16:016x}-{name}" for ms, name in ((1, "a"), (2, "a"), (1, "b"), (9, "c")))


@pytest.fixture(scope="module")
def page():
    """A browser that may import the page's modules; of the page itself nothing runs."""
    app = Router()
    routes(app)
    with serving(app) as served, chromium() as browser:
        page = browser.new_page(timezone_id="UTC")
        page.goto(f"http://{served.address}/icon.svg")
        yield page


@pytest.fixture
def call(page):
    """`call(module, code, argument)`: the value of the JavaScript `code`, which sees `m`, the module, and `x`."""
    def called(module, code, argument=None):
        return page.evaluate(f"async (x) => {{ const m = await import('/{module}'); return {code}; }}", argument)

    return called


@pytest.mark.parametrize(("ms", "counter", "text"), [
    (0, 0, "1970-01-01 00:00:00.000"),
    (1_700_000_000_123, 0, "2023-11-14 22:13:20.123"),
    (1_700_000_000_123, 65535, "2023-11-14 22:13:20.123 +65535"),
    (2**48 - 1, 0, "10889-08-02 05:31:50.655"),
])
def test_a_stamp_says_when_and_by_whom(call, ms, counter, text):
    stamp = f"{ms << 16 | counter:016x}-rep1"
    assert call("stamp.js", "[m.timeOf(x), m.writerOf(x)]", stamp) == [text, "rep1"]


def test_the_time_of_today_goes_without_its_date(call):
    text = call("stamp.js", "m.timeOf((BigInt(Date.now()) * 65536n).toString(16).padStart(16, '0') + '-a')")
    assert len(text) == len("22:13:20.123")


@pytest.mark.parametrize(("one", "other", "later"), [
    (A2, A1, True), (A1, A2, False), (B1, A1, True), (A2, B1, True), (A1, A1, False), (A1, None, True),
    (None, A1, False),
])
def test_the_later_stamp_is_by_time_then_by_name(call, one, other, later):
    assert call("stamp.js", "m.isLater(x[0] ?? undefined, x[1] ?? undefined)", [one, other]) is later


@pytest.mark.parametrize("value", [
    "text", "", "3", "true", "null", '"quoted"', "[1", '{"a":1}', " 3 ",
    3, 3.5, True, None, [], [1, "a"], {"a": {"b": None}},
])
def test_what_is_shown_reads_back_as_the_same_value(call, value):
    assert call("values.js", "m.read(m.shown({value: x}))", value) == value


def test_plain_text_goes_without_quotes(call):
    assert call("values.js", "['tea', '3', 3].map((value) => m.shown({value}))") == ["tea", '"3"', "3"]


def test_bytes_are_described(call):
    assert call("values.js", "m.shown({value_b64: 'AAEC'})") == "3 bytes, base64 AAEC"


COMPARE = """(({groups, split, newest, behind}) => ({
    groups, split: [...split].sort(), newest: Object.fromEntries(newest), behind: Object.fromEntries(behind)}))(
    m.compare(x.map(({name, cells, horizon}) => (
        {name, horizon: horizon ?? null, cells: new Map(Object.entries(cells))}))))"""


def live(stamp):
    return {"stamp": stamp, "live": True}


def gone(stamp):
    return {"stamp": stamp, "live": False}


def side(name, **cells):
    return {"name": name, "cells": cells}


def test_equal_replicas_are_one_group(call):
    found = call("compare.js", COMPARE, [side("a", k=live(A1)), side("b", k=live(A1))])
    assert found == {"groups": [["a", "b"]], "split": [], "newest": {"k": A1}, "behind": {"a": 0, "b": 0}}


def test_who_lacks_the_newest_is_behind(call):
    sides = [side("a", k=live(A2), x=live(A1)), side("b", k=live(A1), x=live(A1)), side("c")]
    found = call("compare.js", COMPARE, sides)
    assert found["groups"] == [["a"], ["b"], ["c"]]
    assert found["split"] == ["k", "x"]
    assert found["behind"] == {"a": 0, "b": 1, "c": 2}


def test_a_removal_is_a_difference_to_whoever_still_has_the_key(call):
    found = call("compare.js", COMPARE, [side("a", k=gone(A2)), side("b", k=live(A1))])
    assert (found["split"], found["behind"]) == (["k"], {"a": 0, "b": 1})


def test_a_collected_tombstone_is_no_difference(call):
    found = call("compare.js", COMPARE, [side("a", k=gone(A2)), side("b")])
    assert (found["groups"], found["split"]) == ([["a", "b"]], [])


def test_nothing_is_said_about_keys_behind_a_horizon(call):
    sides = [{**side("a", k=live(A1), z=live(A1)), "horizon": "k"}, side("b", k=live(A1))]
    assert call("compare.js", COMPARE, sides)["split"] == []


VERDICT = """m.verdictOn(x.replicas.map(([name, state, root, fresh]) => (
    {name, state, isKnown: state === 'live', digest: {root}, isDigestFresh: fresh ?? true})),
    {groups: x.groups, split: new Set(x.split), newest: new Map(), behind: new Map()})"""


@pytest.mark.parametrize(("replicas", "groups", "split", "text", "mood"), [
    ("a", [["a"]], [], "a is alone, and agrees with itself.", "well"),
    ("ab", [["a", "b"]], [], "Both agree.", "well"),
    ("abc", [["a", "b", "c"]], [], "All three agree.", "well"),
    ("abc", [["a"], ["b", "c"]], ["k"], "a differs from b and c in 1 key.", "caution"),
    ("abc", [["a", "c"], ["b"]], ["k", "l"], "b differs from a and c in 2 keys.", "caution"),
    ("abcd", [["a", "c"], ["b", "d"]], ["k"], "a and c differ from b and d in 1 key.", "caution"),
    ("ab", [["a"], ["b"]], ["k", "l", "m"], "a and b differ in 3 keys.", "caution"),
    ("abc", [["c"], ["a"], ["b"]], ["k"], "a, b and c differ in 1 key.", "caution"),
])
def test_the_verdict_is_one_sentence(call, replicas, groups, split, text, mood):
    given = {"replicas": [[name, "live", "1"] for name in replicas], "groups": groups, "split": split}
    assert call("verdict.js", VERDICT, given) == {"text": text, "mood": mood}


@pytest.mark.parametrize(("replicas", "groups", "text", "mood"), [
    ([["a", "live", "1"], ["b", "silent", "1"], ["c", "live", "1"]], [["a", "c"]], "b does not answer; a and c agree.",
     "unwell"),
    ([["a", "live", "1"], ["b", "silent", "1"], ["c", "silent", "1"]], [["a"]],
     "b and c do not answer; only a is there to ask.", "unwell"),
    ([["a", "live", "1"], ["b", "loading", None]], [["a"]], "Still reading b; only a is there to ask.", "waiting"),
    ([["a", "live", "1"], ["b", "live", "2"]], [["a", "b"]],
     "a and b show the same keys; their digests do not match yet.", "waiting"),
    ([["a", "live", "1"], ["b", "live", "2", False]], [["a", "b"]], "Both agree.", "well"),
])
def test_the_verdict_does_not_claim_what_is_not_known(call, replicas, groups, text, mood):
    assert call("verdict.js", VERDICT, {"replicas": replicas, "groups": groups, "split": []}) == {
        "text": text, "mood": mood}


# `cells` by replica, then arrivals at replicas in order; the losers that each replica shows for key k.
LOSSES = """(() => {
    const cellsOf = (stamps) => new Map(Object.entries(stamps).map(([key, stamp]) => [key, {key, stamp, live: true}]));
    const replicas = new Map(Object.entries(x.cells).map(([name, stamps]) => (
        [name, {isLoaded: true, cells: cellsOf(stamps)}])));
    const losses = new m.Losses(replicas);
    for (const [name, stamp] of x.arrivals) {
        const {cells} = replicas.get(name);
        const cell = {key: 'k', stamp, live: true};
        losses.arrived(name, cells.get('k'), cell);
        cells.set('k', cell);
    }
    return Object.fromEntries([...replicas.keys()].map((name) => (
        [name, losses.at(name, 'k').map(({loser}) => loser.stamp)])));
})()"""


def test_a_write_that_another_did_not_know_has_lost(call):
    found = call("losses.js", LOSSES, {"cells": {"a": {}, "b": {}, "c": {}}, "arrivals": [
        ["a", A1], ["b", B1], ["c", C1], ["a", C1], ["b", C1]]})
    assert found == {"a": [A1], "b": [B1], "c": []}


def test_an_update_of_what_was_seen_is_no_loss(call):
    found = call("losses.js", LOSSES, {"cells": {"a": {"k": B1}, "c": {"k": B1}}, "arrivals": [["c", C1], ["a", C1]]})
    assert found == {"a": [], "c": []}


def test_an_update_is_no_loss_where_it_is_heard_of_first_elsewhere(call):
    found = call("losses.js", LOSSES, {"cells": {"a": {"k": B1}, "c": {"k": B1}}, "arrivals": [["a", C1], ["c", C1]]})
    assert found == {"a": [], "c": []}


def test_losers_meet_the_last_winner_one_by_one(call):
    found = call("losses.js", LOSSES, {"cells": {"a": {}, "b": {}, "c": {}}, "arrivals": [
        ["a", A1], ["b", B1], ["c", C1], ["a", B1], ["a", C1]]})
    assert found["a"] == [A1, B1]


def test_of_a_writer_that_is_not_watched_nothing_is_claimed(call):
    found = call("losses.js", LOSSES, {"cells": {"a": {"k": A1}}, "arrivals": [["a", C1]]})
    assert found == {"a": []}


@pytest.mark.parametrize(("root", "digits"), [
    ("0", "0" * 16), ("18446744073709551615", "f" * 16), ("00000000000000ff", "00000000000000ff"),
    ("FF", "00000000000000ff"),
])
def test_a_root_is_shown_as_16_digits(call, root, digits):
    assert call("fingerprint.js", "m.hexOf(x)", root) == digits
