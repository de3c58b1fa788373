"""Chapter 5: messages in fragments, control frames between them, and fragments that continue nothing."""
from __future__ import annotations

from tests.wsclient import CONTINUATION, PING, PONG, TEXT, Client, frame

from .play import Case, Play, answers, close_cleanly, expect, fails, numbered, pong, send, text

PARTS = [b"one ", b"two ", b"three ", b"four ", b"five"]
HELLO = b"Good morning!"

BEGIN = frame(TEXT, PARTS[0], fin=False)
GO_ON = frame(CONTINUATION, PARTS[1], fin=False)
FINISH = frame(CONTINUATION, PARTS[1])
TWO = text(PARTS[0] + PARTS[1])

WHOLE = frame(TEXT, HELLO)
CHECK = frame(PING, b"there?")


def pings_between(chop: int | None) -> Play:
    """Five fragments with two pings among them: the first is answered while half the message is still to come."""
    def play(client: Client) -> None:
        send(client, [BEGIN, GO_ON, frame(PING, b"first")], chop)
        expect(client, pong(b"first"))
        send(client, [*(frame(CONTINUATION, part, fin=False) for part in PARTS[2:4]), frame(PING, b"second"),
                      frame(CONTINUATION, PARTS[4])], chop)
        expect(client, pong(b"second"), text(b"".join(PARTS)))
        close_cleanly(client)

    return play


# Each three: as one packet, a packet for a frame, byte by byte.
CASES: list[Case] = numbered("5", [
    fails(frame(PING, PARTS[0], fin=False) + FINISH),
    fails(frame(PONG, PARTS[0], fin=False) + FINISH),
    answers(BEGIN + FINISH, events=[TWO]),
    answers(BEGIN, FINISH, events=[TWO]),
    answers(BEGIN, FINISH, events=[TWO], chop=1),
    answers(BEGIN + CHECK + FINISH, events=[pong(b"there?"), TWO]),
    answers(BEGIN, CHECK, FINISH, events=[pong(b"there?"), TWO]),
    answers(BEGIN, CHECK, FINISH, events=[pong(b"there?"), TWO], chop=1),
    fails(FINISH + WHOLE),
    fails(FINISH, WHOLE),
    fails(FINISH, WHOLE, chop=1),
    fails(GO_ON + WHOLE),
    fails(GO_ON, WHOLE),
    fails(GO_ON, WHOLE, chop=1),
    fails(BEGIN + FINISH + GO_ON + WHOLE, events=[TWO]),
    fails((GO_ON + BEGIN + FINISH) * 2),
    fails((FINISH + BEGIN + FINISH) * 2),
    fails(BEGIN + WHOLE),
    pings_between(None),
    pings_between(1),
])
