"""What a case does with its connection: bytes go out, exactly these events come back, and it ends as it should."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.wsclient import Client, Event, close_code, close_frame, connect, cut

NORMAL, PROTOCOL_ERROR, BAD_DATA = 1000, 1002, 1007

Play = Callable[[Client], None]


class Case(NamedTuple):
    """One case: `id` is Autobahn's number."""

    id: str
    play: Play
    extensions: str | None = None       # offered in the handshake

    def run(self, address: str) -> None:
        """Play it on a connection of its own."""
        with connect(address, extensions=self.extensions) as client:
            self.play(client)


def text(payload: bytes) -> Event:
    """A text message comes back."""
    return Event("text", payload)


def binary(payload: bytes) -> Event:
    """A binary message comes back."""
    return Event("binary", payload)


def pong(payload: bytes = b"") -> Event:
    """A pong comes back."""
    return Event("pong", payload)


def send(client: Client, pieces: Iterable[bytes], chop: int | None) -> None:
    """Send each piece by itself; with `chop`, the whole in packets of that size instead."""
    for piece in cut(b"".join(pieces), chop) if chop else pieces:
        client.send(piece)


def expect(client: Client, *events: Event) -> None:
    """Read as many events; they are these."""
    for event in events:
        got = client.read()
        # Comparing first keeps pytest from explaining how two strings of 16 MiB differ.
        same = got == event
        assert same, f"{got.kind} of {len(got.payload)} bytes {got.payload[:32]!r}, not {event.kind} " \
                     f"of {len(event.payload)} bytes {event.payload[:32]!r}"


def expect_close(client: Client, codes: Iterable[int]) -> None:
    """Nothing but a close frame is left; its code is one of `codes`."""
    events, payload = client.read_to_close()
    assert not events, events
    assert payload is not None, "the connection ended without a close frame"
    assert close_code(payload) in codes, f"closed with {payload!r}, not with one of {codes}"


def expect_end(client: Client) -> None:
    """The server ends the TCP connection, and says nothing behind its close frame."""
    assert client.rest() == b""


def close_cleanly(client: Client) -> None:
    """Close as a client does: the server answers, then ends the connection."""
    client.send_close(NORMAL)
    expect_close(client, {NORMAL})
    expect_end(client)


def answers(*pieces: bytes, events: Iterable[Event], chop: int | None = None) -> Play:
    """The pieces bring these events, then the connection is closed cleanly."""
    def play(client: Client) -> None:
        send(client, pieces, chop)
        expect(client, *events)
        close_cleanly(client)

    return play


def expect_failure(client: Client, codes: Iterable[int]) -> None:
    """The server fails the connection: a close frame by itself, then the end."""
    expect_close(client, codes)
    client.send(close_frame(NORMAL))
    expect_end(client)


def fails(*pieces: bytes, events: Iterable[Event] = (), code: int = PROTOCOL_ERROR, chop: int | None = None) -> Play:
    """The pieces bring these events, then the server fails the connection with `code`."""
    def play(client: Client) -> None:
        send(client, pieces, chop)
        expect(client, *events)
        expect_failure(client, {code})

    return play


def closes(*pieces: bytes, events: Iterable[Event] = (), codes: Iterable[int | None] = (NORMAL,)) -> Play:
    """A close frame is among the pieces: these events, the answer to it, the end. Code None: an empty close frame."""
    allowed = set(codes)

    def play(client: Client) -> None:
        # In one packet: what stands behind the close frame must not meet a connection that is gone already.
        client.send(b"".join(pieces))
        expect(client, *events)
        got, payload = client.read_to_close()
        assert not got, got
        assert payload is not None, "the connection ended without a close frame"
        assert close_code(payload) in allowed, f"closed with {payload!r}, not with one of {allowed}"
        expect_end(client)

    return play


def numbered(prefix: str, plays: Iterable[Play]) -> list[Case]:
    """Cases PREFIX.1, PREFIX.2 and so on."""
    return [Case(f"{prefix}.{i}", play) for i, play in enumerate(plays, 1)]
