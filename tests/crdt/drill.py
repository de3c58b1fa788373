"""What three servers owe to the people who asked them, whatever happened meanwhile."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from tests.crdt.checker import NEVER, Op, Seen, Violated, check_kept
from tests.crdt.oracle import Oracle, Write
from tests.crdt.people import Call
from tests.crdt.twinbytes import Stamp, encode

LOCAL = ("put", "add", "replace", "remove", "swap")     # stamped by the server that took it


def order_of(call: Call) -> tuple[int, bool, str] | None:
    """Greater wins, by the bias `add`; None: nothing was there."""
    return None if call.stamp is None else (call.stamp[0], call.live, call.stamp[1])


def as_op(call: Call) -> Op:
    """For the checker."""
    return Op(call.kind if call.wrote else "read", call.key, call.start, call.end, order_of(call))


def check_sessions(calls: list[Call], *, collects: bool = False) -> None:
    """Raise Violated if at some server a read went back, a stamp was not above what had been seen there, a swap found
    another value than it expected, or an add a live one. `collects`: a removal may be forgotten."""
    for name in {call.server for call in calls}:
        here = [call for call in calls if call.server == name and call.end is not None and call.kind != "refused"]
        for key in {call.key for call in here}:
            check_key([call for call in here if call.key == key], collects=collects)
            check_adds_at(name, [call for call in calls if call.key == key])
        seen = Seen(map(as_op, here))
        for call in here:
            if call.kind in LOCAL and call.stamp is not None and call.stamp[0] <= seen.before(call.start)[0]:
                raise Violated(f"{call} is not above {seen.before(call.start)}, which was seen before")


def check_key(calls: list[Call], *, collects: bool) -> None:
    """One key at one server."""
    seen = Seen(map(as_op, calls))
    for call in calls:
        before, now = seen.before(call.start), order_of(call)
        if not call.wrote and (now or NEVER) < before and not (collects and now is None and is_removal(before)):
            raise Violated(f"{call} is behind {before}")
        if call.expected is not None and call.wrote and before > (call.expected[0], True, call.expected[1]):
            raise Violated(f"{call} expected what {before} had replaced")


def is_removal(order: tuple[Any, ...]) -> bool:
    """Whether a removal was the greatest."""
    return order != NEVER and not order[1]


def check_adds_at(server: str, calls: list[Call]) -> None:
    """Of one key: between two adds that won at one server somebody removed it."""
    if any(call.end is None and not call.live and call.kind != "read" for call in calls):
        return          # a removal that nobody heard of may lie between any two
    removals = [order for call in calls if (order := order_of(call)) is not None and not call.live]
    adds = sorted(order for call in calls if call.server == server and call.kind == "add" and call.wrote
                  and (order := order_of(call)) is not None)
    for one, other in pairwise(adds):
        if not any(one < removal < other for removal in removals):
            raise Violated(f"{server} let both {one} and {other} add")


def check_explained(calls: list[Call], shown: Iterable[tuple[bytes, Write]]) -> list[bytes]:
    """Raise Violated for what nobody wrote; the unacknowledged writes among it, as cells."""
    acknowledged = {(call.key, call.stamp): call for call in calls if call.wrote}
    unanswered = [call for call in calls if call.end is None and call.kind != "read"]
    done = []
    for key, write in shown:
        stamp = write.hlc, write.replica
        known = acknowledged.get((key, stamp))
        if known is not None:
            if known.live != write.live or (write.live and known.payload != write.payload):
                raise Violated(f"{key!r}: {write} is not what was acknowledged: {known}")
            continue
        if not any(call.key == key and call.live == write.live and (not write.live or call.payload == write.payload)
                   and (call.stamp == stamp if call.kind == "import" else call.server == write.replica)
                   for call in unanswered):
            raise Violated(f"{key!r}: nobody wrote {write}")
        done.append(encode(key, Stamp(*stamp), write.live, write.payload))
    return done


def shown_by(calls: Iterable[Call]) -> Iterator[tuple[bytes, Write]]:
    """What reads showed of values; a removal shows no more than its stamp."""
    for call in calls:
        if call.kind == "read" and call.live and call.end is not None and call.stamp is not None:
            yield call.key, Write(*call.stamp, True, call.payload)


def check_nothing_from_the_future(calls: list[Call]) -> None:
    """Raise Violated if somebody, anywhere, was shown a write before it was asked for."""
    begun = {(call.key, call.stamp): call.start for call in calls if call.wrote}
    for call in calls:
        if not call.wrote and call.end is not None and begun.get((call.key, call.stamp), 0) > call.end:
            raise Violated(f"{call} was shown what was not written yet")


def check_outcome(calls: list[Call], states: list[dict[bytes, Write]], *, floor: int | None = None) -> None:
    """Raise Violated unless the states are equal, nothing acknowledged is lost, and all of it is the oracle's.

    `floor`: removals up to it may be gone; None: none may.
    """
    if any(state != states[0] for state in states):
        raise Violated("the replicas differ")
    check_sessions(calls, collects=floor is not None)
    check_nothing_from_the_future(calls)
    acknowledged = [call.cell for call in calls if call.wrote]
    oracle, held = Oracle(), Oracle()
    oracle.record_all(acknowledged)
    oracle.record_all(check_explained(calls, shown_by(calls)))
    oracle.record_all(check_explained(calls, states[0].items()))
    for key, write in states[0].items():
        held.record(encode(key, Stamp(write.hlc, write.replica), write.live, write.payload))
    check_kept(acknowledged, held, floor=floor or 0)
    expected = {key: write for key, write in oracle.state().items() if write.live or write.hlc > (floor or 0)}
    for key in expected.keys() | states[0].keys():
        if expected.get(key) != states[0].get(key):
            raise Violated(f"{key!r}: {states[0].get(key)}, the oracle says {expected.get(key)}")
