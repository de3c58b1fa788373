"""Each ticket once, here, and not too late."""
from __future__ import annotations

import pytest

from hotpath.chat.auth import TICKET_S, Ticket, sign_ticket
from hotpath.chat.gateway.door import Door
from hotpath.core.serve import Response

SECRET = b"s" * 32


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Asked:
    """What the door reads of a request."""

    def __init__(self, ticket: str) -> None:
        self.query = {"ticket": ticket}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Door:
    return Door(SECRET, "g1", "boot", now=clock)


def ticket(clock: Clock, serial: str = "s1", **changes: object) -> str:
    fields = {"user": 7, "session": 8, "gateway": "g1", "boot": "boot",
              "expires_ms": int((clock.now_s + TICKET_S) * 1000), "serial": serial, **changes}
    return sign_ticket(SECRET, Ticket(**fields))    # type: ignore[arg-type]


def status(door: Door, text: str) -> int:
    answer = door(Asked(text))      # type: ignore[arg-type]
    return answer.status if isinstance(answer, Response) else 101


def test_a_ticket_is_taken_once(door: Door, clock: Clock):
    text = ticket(clock)
    assert status(door, text) == 101
    assert status(door, text) == 401
    assert status(door, ticket(clock, "s2")) == 101


@pytest.mark.parametrize("changes", [{"gateway": "g2"}, {"boot": "other"}, {"expires_ms": 0}])
def test_a_ticket_for_elsewhere_or_of_long_ago_is_refused(door: Door, clock: Clock, changes: dict[str, object]):
    assert status(door, ticket(clock, **changes)) == 401


@pytest.mark.parametrize("text", ["", "x", "1.7.8.g1.boot.99999999999999.s1.00", "\u0661" * 10, "x" * 10_000])
def test_what_is_no_ticket_is_refused(door: Door, text: str):
    assert status(door, text) == 401


def test_used_tickets_are_forgotten_only_when_they_have_expired(door: Door, clock: Clock):
    text = ticket(clock)
    assert status(door, text) == 101
    clock.now_s -= 3600             # set back
    assert status(door, text) == 401
    clock.now_s += 3600 + TICKET_S
    assert status(door, text) == 401
    for n in range(1000):
        clock.now_s += 1
        assert status(door, ticket(clock, f"n{n}")) == 101
    assert len(door.remembered) <= 2 * TICKET_S + 1


def test_a_draining_gateway_lets_nobody_in(door: Door, clock: Clock):
    door.draining = True
    assert status(door, ticket(clock)) == 503
    door.draining = False
    assert status(door, ticket(clock)) == 101
