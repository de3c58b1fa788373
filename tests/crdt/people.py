"""People who read and write at three servers whatever happens, and remember every answer."""
from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace

from tests.crdt.checker import Violated
from tests.crdt.trio import JSON, OCTETS, Client, NoAnswer, Reply, Server, path_of
from tests.crdt.twinbytes import Stamp, bundle, encode, pack

KEYS = [b"k%d" % number for number in range(8)]
KINDS = ("read", "read", "read", "put", "put", "add", "replace", "remove", "remove", "swap", "import")

# An import is stamped up to so far from now: within the bound on drift, and not behind any promise without gc.
IMPORT_MS = 300


@dataclass(frozen=True, slots=True)
class Call:
    """One request on one key, and its answer; `stamp` and `live`: of what was written or shown."""

    server: str
    kind: str                               # one of KINDS
    key: bytes
    payload: bytes
    start: int                              # ns of one clock for all
    end: int | None = None                  # None: no answer came, it may be done or not
    stamp: tuple[int, str] | None = None
    live: bool = False
    wrote: bool = False
    expected: tuple[int, str] | None = None     # a swap happens only if this is live

    @property
    def cell(self) -> bytes:
        """What it wrote."""
        assert self.stamp is not None
        return encode(self.key, Stamp(*self.stamp), self.live, self.payload if self.live else b"")


@dataclass
class Person:
    """One client: asks one server after the other."""

    number: int
    servers: list[Server]
    seed: int
    calls: list[Call] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clients = [Client(server.port) for server in self.servers]
        self.asked = 0
        self.shown: dict[tuple[str, bytes], tuple[int, str]] = {}       # what a swap expects

    def work_until(self, done: threading.Event) -> None:
        """One request after the other."""
        while not done.is_set():
            try:
                self.work_once()
            except Exception as error:
                self.failures.append(repr(error))
                raise
        for client in self.clients:
            client.close()

    def work_once(self) -> None:
        """A random request to a random server."""
        place = self.rng.randrange(len(self.servers))
        call = self.new_call(self.servers[place].name)
        try:
            call = judged(call, self.send(self.clients[place], call), time.monotonic_ns())
        except NoAnswer:
            # A server that is down answers at once; without a pause this person would ask nothing else.
            threading.Event().wait(0.01)
        self.calls.append(call)
        if call.end is not None and call.live and call.stamp is not None:
            self.shown[call.server, call.key] = call.stamp

    def new_call(self, server: str) -> Call:
        """Its value is like no other."""
        self.asked += 1
        unique = f"{self.number}-{self.asked}"
        kind, key = self.rng.choice(KINDS), self.rng.choice(KEYS)
        expected = self.shown.get((server, key))
        if kind == "swap" and expected is None:
            kind = "put"
        call = Call(server, kind, key, pack(unique.encode() if self.rng.random() < 0.5 else unique),
                    time.monotonic_ns(), live=kind != "remove", expected=expected if kind == "swap" else None)
        if kind != "import":
            return call
        # Nobody stamps as this person does: its name and a count are in it.
        hlc = time.time_ns() // 1_000_000 + self.rng.randrange(-IMPORT_MS, IMPORT_MS) << 16 | self.asked & 0xFFFF
        return replace(call, stamp=(hlc, f"imp{self.number}"), live=self.rng.random() < 0.7)

    def send(self, client: Client, call: Call) -> Reply:
        """Raises NoAnswer."""
        of_type = JSON if call.payload[:1] == b"\1" else OCTETS
        body, path = call.payload[1:], path_of(call.key)
        match call.kind:
            case "read":
                return client.ask("GET", path)
            case "remove":
                return client.ask("DELETE", path)
            case "add":
                return client.ask("PUT", path, body, content_type=of_type, if_none_match="*")
            case "swap":
                assert call.expected is not None
                return client.ask("PUT", path, body, content_type=of_type, if_match=f'"{Stamp(*call.expected)}"')
            case "import":
                return client.ask("POST", "/sync/merge", bundle([call.cell], "add"), content_type=OCTETS)
            case "put":
                return client.ask("PUT", path + "?upsert=true", body, content_type=of_type)
        return client.ask("PUT", path, body, content_type=of_type)


def parsed(stamp: str | None) -> tuple[int, str] | None:
    """An ETag's or a field's stamp."""
    if stamp is None:
        return None
    found = Stamp.parse(stamp.strip('"'))
    return found.hlc, found.replica


def judged(call: Call, reply: Reply, end: int) -> Call:
    """The call with what its answer says. Raises Violated for an answer that must not be."""
    fields = reply.fields
    answered = replace(call, end=end)
    match reply.status, call.kind:
        case 503, _:
            # Refused, or the disk does not say; what was written may be there.
            return call
        case 200, "read":
            tag = b"\1" if fields["content-type"].startswith(JSON) else b"\0"
            return replace(answered, payload=tag + reply.body, stamp=parsed(fields["lww-stamp"]), live=True)
        case (200 | 409), "import":
            done = reply.status == 200 and reply.json()["stale"] == 0
            # What it wrote is there or superseded; what is refused is nowhere.
            return replace(answered, wrote=done) if done else replace(answered, kind="refused", stamp=None, live=False)
        case ((200 | 201), _) | (204, "remove"):
            return replace(answered, stamp=parsed(fields["lww-stamp"]), wrote=True)
        case 404, ("read" | "replace"):
            return replace(answered, kind="read", stamp=parsed(fields.get("lww-tombstone")), live=False)
        case 412, ("add" | "swap"):
            if "etag" not in fields:
                return replace(answered, kind="refused", stamp=None, live=False)
            return replace(answered, kind="seen", stamp=parsed(fields["etag"]), live=True)
    raise Violated(f"{call} was answered {reply}")
