"""`hotpath-chat load`: what its flags ask for."""
from __future__ import annotations

import argparse
from dataclasses import dataclass

from .target import Target


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    url: Target
    clients: int
    users: int
    channels: int
    rate: float             # messages per second, in all
    size: int               # of a text, in characters
    seconds: float
    storm: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of `hotpath-chat load`."""
    parser.description = (
        "Make users and channels on the spot, connect sockets, send messages at a rate, and check on every socket that "
        "each message of each channel arrives, once, in order. Every user is a member of every channel, so a message "
        "goes to every socket. The users and channels stay.")
    parser.epilog = (
        "With --json one object is printed: {connected, sent, acked, delivered, lost, duplicated, out_of_order, "
        "ack_ms: {p50, p99}, deliver_ms: {p50, p99}, deliveries_per_s, resume_s}. ack_ms is from when a message was "
        "due to its 201, deliver_ms from there to a socket (0 if the socket was first), resume_s the longest that "
        "sockets were missing (null: none was). Exit status: 0; 1 if anything was lost, duplicated or out of order, or "
        "nothing could be measured; 2 for a mistake in the flags.")
    parser.add_argument("--url", required=True, type=api_url, metavar="URL", help="of the API: http://HOST:PORT")
    parser.add_argument("--clients", type=whole(1, 1_000_000), default=200, metavar="N",
                        help="sockets (default: %(default)s)")
    parser.add_argument("--users", type=whole(1, 100_000), default=8, metavar="N",
                        help="accounts that share the sockets; a gateway takes 32 sockets of one unless told otherwise "
                             "(default: %(default)s)")
    parser.add_argument("--channels", type=whole(1, 10_000), default=4, metavar="N",
                        help="that they talk in (default: %(default)s)")
    parser.add_argument("--rate", type=positive, default=20.0, metavar="R",
                        help="messages per second, of all users together (default: 20)")
    parser.add_argument("--size", type=whole(1, 100_000), default=120, metavar="N",
                        help="characters of a message (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=10.0, metavar="S", help="of sending (default: 10)")
    parser.add_argument("--storm", action="store_true", help="cut all sockets half-way, and resume them")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Load; the exit status."""
    # Here, because every part of the chat comes by when it starts, and is in a hurry when another was killed.
    from .command import run
    return run(Wanted(given.url, given.clients, given.users, given.channels, given.rate, given.size, given.seconds,
                      given.storm), as_json=given.json)


def api_url(text: str) -> Target:
    """For argparse."""
    try:
        return Target.of(text.rstrip("/"), "http")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class whole:
    """A whole number within bounds, for argparse."""

    def __init__(self, low: int, high: int) -> None:
        self._low = low
        self._high = high

    def __call__(self, text: str) -> int:
        """The number."""
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and self._low <= int(text) <= self._high):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: {self._low} to {self._high}")
        return int(text)


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: a number above 0")
    return value
