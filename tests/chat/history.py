"""What happened, line by line: written by the clients while it happens, read by the checker in another process.

Each line is a JSON list whose first item says what it is:
    ["person", user, name, token]
    ["sent", user, client_msg_id, channel, text, root]            before the first try
    ["tried", user, client_msg_id, status or error]               each try that was no 2xx
    ["acked", user, client_msg_id, status, message]               2xx
    ["refused", user, client_msg_id, status]                      4xx: it must not exist
    ["opened", connection, client, user, gateway]                 the 101 came
    ["start", connection, since]                                  {channel: seq}: what the client has
    ["ready", connection, channels]                               [{id, head, status, from}]
    ["E", channel, seq, digest, frame]                            the first time that these bytes of an event are seen
    ["e", connection, channel, seq, digest]                       an event arrived
    ["frame", connection, frame]                                  any other frame that tells of channels
    ["closed", connection, code]                                  1006: cut without a close
    ["page", client, user, channel, after, head, frames]          GET events
    ["end", [client], [client]]                                   all clients; those that must have all
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class History:
    """Written in arrival order; one process, one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, int] = {}
        self._file = path.open("ab", buffering=1 << 20)
        self._seen: set[tuple[int, int, int]] = set()
        self._encode = msgspec.json.Encoder().encode

    def note(self, *line: Any) -> None:
        """One line."""
        self.counts[line[0]] = self.counts.get(line[0], 0) + 1
        self._file.write(self._encode(line) + b"\n")

    def event(self, connection: int, channel: int, seq: int, data: bytes) -> None:
        """An event arrived; its bytes are kept once."""
        digest = hash(data)
        if (channel, seq, digest) not in self._seen:
            self._seen.add((channel, seq, digest))
            self.note("E", channel, seq, digest, msgspec.Raw(data))
        self.note("e", connection, channel, seq, digest)

    def flush(self) -> None:
        """So that another process can read it all."""
        self._file.flush()

    def close(self) -> None:
        """Nothing more."""
        self._file.close()


def read_history(path: Path) -> list[list[Any]]:
    """All whole lines."""
    decode = msgspec.json.Decoder(list[Any]).decode
    with path.open("rb") as file:
        return [decode(line) for line in file if line.endswith(b"\n")]
