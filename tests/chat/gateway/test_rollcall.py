"""A user's sockets counted over gateways that answer, and over those only."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hotpath.chat.gateway.rollcall import ANSWERS_S, DECIDED_S, Call, RollCall
from hotpath.chat.topics import user_topic
from tests.chat.gateway.rig import Rig, User, rig
from tests.wsclient import Client, close_code

LIMIT = 4


def ask(gateway: RollCall, user: int = 1, *, n: int = 2, now_s: float = 0.0) -> Call:
    gateway.opened(user, n)
    ((asked, call),) = gateway.ask(now_s)
    assert asked == user
    return call


def test_who_answers_is_counted():
    a, b = RollCall("a", LIMIT), RollCall("b", LIMIT)
    answer = b.hear(1, ask(a), 3, 0.0)
    assert answer is not None
    assert a.hear(1, answer, 2, 0.0) is None
    assert list(a.due(ANSWERS_S / 2)) == []
    assert list(a.due(ANSWERS_S)) == [(1, 1)]
    assert list(a.due(ANSWERS_S)) == []


def test_a_gateway_that_is_dead_has_no_sockets():
    a = RollCall("a", LIMIT)
    ask(a)
    assert list(a.due(ANSWERS_S)) == [(1, LIMIT)]


def test_answers_to_others_and_our_own_calls_count_for_nothing():
    a = RollCall("a", LIMIT)
    call = ask(a)
    assert a.hear(1, call, 2, 0.0) is None
    assert a.hear(1, Call("b", 3, "c"), 2, 0.0) is None
    assert a.hear(2, Call("b", 3, "a"), 2, 0.0) is None
    assert list(a.due(ANSWERS_S)) == [(1, LIMIT)]


def test_of_two_that_ask_at_once_the_second_asks_again():
    a, b = RollCall("a", LIMIT), RollCall("b", LIMIT)
    from_a, from_b = ask(a), ask(b)
    assert a.hear(1, from_b, 3, 0.0) == Call("a", 3, "b")
    assert b.hear(1, from_a, 3, 0.0) == Call("b", 3, "a")
    assert list(b.due(ANSWERS_S)) == []
    assert a.hear(1, Call("b", 3, "a"), 3, 0.0) is None
    assert list(a.due(ANSWERS_S)) == [(1, 1)]
    assert list(b.ask(ANSWERS_S)) == []
    assert list(b.ask(DECIDED_S)) == [(1, Call("b"))]
    assert b.hear(1, Call("a", 1, "b"), 3, DECIDED_S) is None
    assert list(b.due(DECIDED_S + ANSWERS_S)) == [(1, 3)]


def test_who_is_asked_asks_behind_the_other():
    a, b = RollCall("a", LIMIT), RollCall("b", LIMIT)
    b.hear(1, ask(a), 3, 0.0)
    b.opened(1, 3)
    assert list(b.ask(ANSWERS_S)) == []
    assert list(b.ask(DECIDED_S)) == [(1, Call("b"))]


def test_a_socket_that_comes_while_others_are_counted_is_counted_behind_them():
    a = RollCall("a", LIMIT)
    ask(a)
    a.opened(1, 3)
    assert list(a.ask(ANSWERS_S / 2)) == []
    assert list(a.due(ANSWERS_S)) == [(1, LIMIT)]
    assert list(a.ask(ANSWERS_S)) == [(1, Call("a"))]
    assert list(a.ask(ANSWERS_S)) == []


def test_one_socket_here_is_asked_about_only_where_the_limit_is_small():
    large, small = RollCall("a", 32), RollCall("a", 2)
    large.opened(1, 1)
    small.opened(1, 1)
    assert list(large.ask(0.0)) == []
    assert list(small.ask(0.0)) == [(1, Call("a"))]


@contextmanager
def counted(chat: Rig, user: User) -> Iterator[None]:
    """Leaves once no gateway counts that user's sockets any more: who waits for another one asks within DECIDED_S."""
    with chat.redis.client.pubsub() as heard:
        heard.subscribe(user_topic(chat.config.redis.prefix, user.id))
        yield
        while heard.get_message(timeout=2 * DECIDED_S) is not None:
            pass


def test_the_limit_holds_over_two_gateways(tmp_path):
    with rig(tmp_path) as chat:
        first, second = chat.gateway("g1"), chat.gateway("g2")
        ann = chat.user("ann")
        limit = chat.config.limits.sockets_per_user
        with counted(chat, ann):
            kept = [ann.start(first) for _ in range(limit // 2)]
            kept += [ann.start(second, "g2") for _ in range(limit - len(kept))]
        # Who stands still for ANSWERS_S is taken for dead, and one more is let in; that one is closed with 4002.
        assert any(ann.connect(first).close_code() == 4009 for _ in range(2))
        for socket in kept:
            socket.settle()


def test_those_who_come_from_a_gateway_that_was_killed_are_let_in(tmp_path):
    with rig(tmp_path) as chat:
        first, second = chat.gateway("g1"), chat.gateway("g2")
        ann = chat.user("ann")
        limit = chat.config.limits.sockets_per_user
        with counted(chat, ann):        # what it answered while it lived counts no more
            kept = [ann.start(second, "g2") for _ in range(limit // 2)]
            gone = [ann.start(first) for _ in range(limit - len(kept))]
        first.kill()
        assert [socket.client.rest() for socket in gone] == [b""] * len(gone)
        kept += [ann.start(second, "g2") for _ in range(limit - len(kept))]
        with Client(second.address) as client:
            client.open(f"/ws?ticket={ann.ticket('g2')}", host=second.address)
            assert close_code(client.read_to_close()[1]) == 4009
        for socket in kept:
            socket.settle()
