from __future__ import annotations

from tests.shard.model.register import ABSENT, Op, Possible, judged, unjudged


def test_a_read_answers_the_row():
    assert judged(unjudged(7, 1), (Op("get"),), 0, 7) == {Possible(7, (None,))}
    assert not judged(unjudged(7, 1), (Op("get"),), 0, 8)


def test_a_write_under_way_may_have_taken_effect_or_not():
    pending = (Op("get"), Op("put", 5))
    assert judged(unjudged(7, 2), pending, 0, 5) == {Possible(5, (None, 1))}
    assert Possible(7, (None, None)) in judged(unjudged(7, 2), pending, 0, 7)


def test_a_write_seen_once_stays_seen():
    pending = (Op("get"), Op("put", 5))
    once = judged(unjudged(7, 2), pending, 0, 5)
    assert not judged(once, pending, 0, 7)


def test_a_delete_and_an_insert_say_whether_there_was_a_row():
    deleted = judged(unjudged(7, 1), (Op("delete"),), 0, 1)
    assert not judged(deleted, (Op("delete"),), 0, 1)
    assert not judged(deleted, (Op("update", 3),), 0, 1)
    assert judged(deleted, (Op("insert", 3),), 0, 1) == {Possible(3, (None,))}
    assert deleted == {Possible(ABSENT, (None,))}
