"""Three replicas that were cut apart: how long until they agree, and how many bytes does that take?"""
from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path
from statistics import median

from .cable import Cable
from .crdt_served import COMMAND, ask, await_healthy
from .harness import Spread
from .paired import at_most
from .processes import Server, free_ports
from .rivals import WrongAnswer

NAMES = ("a", "b", "c")
PAIRS = tuple(combinations(NAMES, 2))
HOW = {"drill": "/drill/heal", "cable": "cables put back"}
KEY_BYTES = 16
VALUE_BYTES = 100
CELL_BYTES = 23 + KEY_BYTES + 1 + VALUE_BYTES          # on the wire: head, key, tag, value
BATCH = 5000
DEADLINE_S = 60.0
FORM = {"Content-Type": "application/json"}

COLUMNS = ("figure", "measured (min-max)", "limit", "goal")


@dataclass(frozen=True, slots=True)
class Setting:
    """How much, how often."""

    keys: int
    rounds: int
    interval_ms: int
    changed: float              # share of the keys that change on one side


@dataclass(slots=True)
class Healed:
    """One round."""

    how: str                                        # `drill` or `cable`: what cut them apart
    agreed_s: float                                 # from the heal to equal roots
    sent: dict[tuple[str, str], int]                # bytes between each pair, both ways, HTTP's heads and all
    arrivals: dict[str, list[tuple[float, str]]]    # at each replica: seconds after the heal, key
    changed: set[str] = field(default_factory=set)


def key_of(i: int) -> str:
    """16 characters."""
    return f"key:{i:012d}"


@dataclass(frozen=True, slots=True)
class Group:
    """Three replicas that know each other, and the cables from each to each."""

    servers: Mapping[str, Server]
    cables: Mapping[tuple[str, str], Cable]         # (who asks, who answers)

    def sent(self) -> dict[tuple[str, str], int]:
        """Bytes between each pair so far, both ways, whoever asked."""
        return {(one, other): self.cables[one, other].passed + self.cables[other, one].passed for one, other in PAIRS}

    def cut(self, how: str, name: str) -> None:
        """Cut one replica off."""
        if how == "drill":
            ask(self.servers[name].port, "POST", "/drill/cut", b'{"peers": []}', FORM)
        else:
            for ends, cable in self.cables.items():
                if name in ends:
                    cable.pull()

    def heal(self, how: str, name: str) -> None:
        """Undo that."""
        if how == "drill":
            ask(self.servers[name].port, "POST", "/drill/heal", b'{"peers": []}', FORM)
        else:
            for cable in self.cables.values():
                cable.mend()


@contextmanager
def group(disk: Path, setting: Setting) -> Iterator[Group]:
    """The three, started and whole."""
    ports = dict(zip(NAMES, free_ports(3), strict=True))
    with ExitStack() as stack:
        cables = {(one, other): Cable(ports[other]) for one, other in permutations(NAMES, 2)}
        for cable in cables.values():
            stack.callback(cable.close)
        servers = {}
        for name, port in ports.items():
            peers = ", ".join(f'{{name: {other}, url: "http://127.0.0.1:{cables[name, other].port}"}}'
                              for other in ports if other != name)
            folder = disk / f"heal-{name}"
            folder.mkdir()
            config = folder / "crdt.yaml"
            config.write_text(f"replica: {name}\nlisten: 127.0.0.1:{port}\ndata: {folder}/data\npeers: [{peers}]\n"
                              f"sync: {{interval: {setting.interval_ms}ms}}\ndrill: true\nlog: {{access: off}}\n")
            argv = [COMMAND, "serve", "--config", str(config)]
            servers[name] = stack.enter_context(Server(f"replica {name}", argv, port, folder / "out"))
        for server in servers.values():
            await_healthy(server.port, DEADLINE_S)
        yield Group(servers, cables)


def put_all(port: int, keys: Sequence[str], source: random.Random) -> None:
    """Write a random value under each key, in batches."""
    for at in range(0, len(keys), BATCH):
        ops = [{"op": "put", "key": key, "value_b64": base64.b64encode(source.randbytes(VALUE_BYTES)).decode()}
               for key in keys[at:at + BATCH]]
        answer = json.loads(ask(port, "POST", "/batch", json.dumps({"ops": ops}).encode(), FORM))
        if any(result["status"] // 100 != 2 for result in answer["results"]):
            raise WrongAnswer("a batch was not written")


def root(port: int) -> int:
    """The digest in one word."""
    return int(json.loads(ask(port, "GET", "/sync/digest"))["root"])


def await_agreement(servers: Mapping[str, Server]) -> float:
    """When all roots were equal, by the monotonic clock. Raises WrongAnswer after a minute."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        if len({root(server.port) for server in servers.values()}) == 1:
            return time.monotonic()
        time.sleep(0.005)
    raise WrongAnswer(f"the replicas do not agree after {DEADLINE_S:.0f} s")


class Watcher:
    """Notes when each changed key arrives at a replica, by its /changes."""

    def __init__(self, port: int) -> None:
        """Watch from now on."""
        self.seen: list[tuple[float, str]] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        self._connection.request("GET", "/changes", headers={"Accept": "text/event-stream"})
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise WrongAnswer(f"/changes: {self._answer.status}")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while line := self._answer.readline():
                if line.startswith(b"data: ") and b'"key"' in line:
                    self.seen.append((time.monotonic(), json.loads(line[6:])["key"]))
        except (OSError, ValueError):       # closed, or the server stopped
            return

    def await_keys(self, n: int) -> None:
        """Return once `n` keys came. Raises WrongAnswer."""
        until = time.monotonic() + DEADLINE_S
        while len(self.seen) < n:
            if time.monotonic() > until:
                raise WrongAnswer(f"{len(self.seen)} of {n} changes were told")
            time.sleep(0.005)

    def close(self) -> None:
        """Watch no more."""
        sock = self._connection.sock
        if sock is not None:
            sock.close()


def one_round(group: Group, how: str, setting: Setting, source: random.Random) -> Healed:
    """Cut a off, change some keys there, heal, and watch."""
    servers, first = group.servers, group.servers["a"].port
    keys = [key_of(i) for i in source.sample(range(setting.keys), round(setting.keys * setting.changed))]
    group.cut(how, "a")
    put_all(first, keys, source)
    if root(first) == root(servers["b"].port):
        raise WrongAnswer("a change crossed the cut")
    # What was under way before the cut is counted before, and where in its interval a peer is at the heal is by chance.
    time.sleep((2 + source.random()) * setting.interval_ms / 1000)
    watchers = {name: Watcher(servers[name].port) for name in NAMES[1:]}
    before = group.sent()
    group.heal(how, "a")
    healed_s = time.monotonic()
    agreed_s = await_agreement(servers)
    time.sleep(2 * setting.interval_ms / 1000)          # what is sent twice comes later, and counts
    after = group.sent()
    for watcher in watchers.values():
        watcher.await_keys(len(keys))
        watcher.close()
    return Healed(how, agreed_s - healed_s, {pair: after[pair] - before[pair] for pair in PAIRS},
                  {name: [(at - healed_s, key) for at, key in watcher.seen] for name, watcher in watchers.items()},
                  set(keys))


def series(healed: Healed) -> dict[str, list[tuple[float, int]]]:
    """Of each pair: (seconds after the heal, keys that differ), where it changes."""
    has: dict[str, set[str]] = {"a": set(healed.changed), "b": set(), "c": set()}
    events = sorted((at, name, key) for name, seen in healed.arrivals.items() for at, key in seen)
    found = {"–".join(pair): [(0.0, len(has[pair[0]] ^ has[pair[1]]))] for pair in PAIRS}
    differ = {pair: len(has[pair[0]] ^ has[pair[1]]) for pair in PAIRS}
    for at, name, key in events:
        if key in has[name] or key not in healed.changed:
            continue
        for pair in PAIRS:
            if name in pair:
                other = pair[0] if pair[1] == name else pair[1]
                differ[pair] += -1 if key in has[other] else 1
                found["–".join(pair)].append((at, differ[pair]))
        has[name].add(key)
    return found


def run(disk: Path, setting: Setting, tell: Callable[[str], None]) -> tuple[list[Healed], int]:
    """All rounds, and the bytes of the whole state. `tell` is told how far it is."""
    source = random.Random(setting.keys)
    with group(disk, setting) as three:
        tell(f"heal: {setting.keys:,} keys")
        first = three.servers["a"].port
        put_all(first, [key_of(i) for i in range(setting.keys)], source)
        await_agreement(three.servers)
        whole = len(ask(first, "GET", "/snapshot", headers={"Accept": "application/octet-stream"}))
        found = []
        for i in range(setting.rounds):
            for how in HOW:
                tell(f"heal: {how}, round {i + 1} of {setting.rounds}")
                found.append(one_round(three, how, setting, source))
    return found, whole


def rows(found: Sequence[Healed], whole: int, setting: Setting) -> list[tuple[str, ...]]:
    """The table."""
    limit_s = 2 * setting.interval_ms / 1000 + 0.2
    changed = round(setting.keys * setting.changed) * CELL_BYTES
    limit = 3 * changed + 40 * 1024
    lines = []
    for how, name in HOW.items():
        agreed = Spread.of([each.agreed_s for each in found if each.how == how])
        lines.append((f"{name} to agreement, s", str(agreed), f"{limit_s:.1f}", at_most(agreed.middle, limit_s)))
    for pair in PAIRS:
        sent = [each.sent[pair] for each in found]
        lines.append((f"bytes between {pair[0]} and {pair[1]}, both ways",
                      f"{median(sent):,.0f} ({min(sent):,}-{max(sent):,})", f"{limit:,}",
                      at_most(median(sent), limit)))
    lines.append(("bytes of the changed cells", f"{changed:,}", "", ""))
    lines.append(("bytes of the whole state", f"{whole:,}", "", ""))
    return lines
