"""Which gateway takes the next socket? The least loaded one that lives and is not draining.

Every second a gateway writes `gw:ID`, which lives for five seconds, and its id into the set `gws`. A thread here reads
them; what it found last is kept. While Redis is away each gateway of that list is asked by itself: /healthz.
"""
from __future__ import annotations

import http.client
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import redis

from hotpath.core.errors import HotpathError

from .topics import control_topic, registry_ids, registry_key

log = logging.getLogger(__name__)

State = Literal["up", "draining", "lost"]

POLL_S = 1.0
# Between two looks that clients ask for.
LOOK_S = 0.05
# How long a ticket counts as a socket to come: by then it is one, and reported, or its client has given up.
TICKET_COUNTS_S = 5.0
# A gateway that is lost for as long is forgotten: `up` starts one anew within seconds.
FORGET_S = 60.0
# Of one question to Redis or to a gateway. Each is on this machine or on the next one.
PATIENCE_S = 1.0
PROBES_AT_ONCE = 8
MAX_GATEWAYS = 256


class NoGateway(HotpathError):
    """Nobody, or the operator: no gateway lives just now. The client tries again."""


class Report(msgspec.Struct, frozen=True):
    """What a gateway writes about itself; `at` in milliseconds since 1970."""

    id: str
    url: str            # where clients connect: ws://…
    health: str         # where it answers /healthz: http://…
    sockets: int
    draining: bool
    boot: str
    at: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """What is known of one gateway."""

    report: Report
    state: State
    seen_s: float       # monotonic: when it was last known to live

    @property
    def id(self) -> str:
        """Its name."""
        return self.report.id


Probe = Callable[[str], State]


class Registry:
    """The gateways there are. `choose` never waits; a thread of its own does what does."""

    def __init__(
        self, redis_url: Callable[[], str], prefix: str, *, clock: Callable[[], float] = time.monotonic,
        probe: Probe | None = None
    ) -> None:
        """`redis_url` is asked before each connection: Redis may come back elsewhere."""
        self._redis_url = redis_url
        self._prefix = prefix
        self._clock = clock
        self._probe = probe_health if probe is None else probe
        self._redis: redis.Redis | None = None
        self._known: dict[str, Gateway] = {}        # replaced whole by the thread, read by anybody
        self._suspects: dict[str, str] = {}         # id: boot, of those that a client could not reach
        self._given: deque[tuple[float, str]] = deque()
        self._n_given: dict[str, int] = {}
        self._looking = threading.Lock()
        self._looked_s = -math.inf
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
        self.redis_is_away = False

    def start(self) -> None:
        """Look once, then go on in a thread."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._disconnect()

    def gateways(self) -> list[Gateway]:
        """All that are known, by id."""
        return [self._known[id] for id in sorted(self._known)]

    def choose(self, exclude: Collection[str] = ()) -> Report:
        """The one for the next ticket, which counts as given. `exclude` is obeyed while another lives.

        Raises NoGateway. To be called by one thread.
        """
        now_s = self._clock()
        while self._given and self._given[0][0] <= now_s - TICKET_COUNTS_S:
            self._n_given[self._given.popleft()[1]] -= 1
        alive = [gateway.report for gateway in self._known.values() if gateway.state == "up"]
        wanted = [report for report in alive if report.id not in exclude]
        if exclude:
            self._suspect(report for report in alive if report.id in exclude)
        if not alive:
            self._wake.set()
            raise NoGateway("no gateway is up")
        best = min(wanted or alive, key=lambda report: report.sockets + self._n_given.get(report.id, 0))
        self._given.append((now_s, best.id))
        self._n_given[best.id] = self._n_given.get(best.id, 0) + 1
        return best

    def drain(self, id: str) -> None:
        """Tell a gateway to send its clients elsewhere. Blocks; raises KeyError, or NoGateway while Redis is away."""
        self._known[id]
        try:
            with redis.Redis.from_url(self._redis_url(), **_patience()) as client:
                client.publish(control_topic(self._prefix, id), b'{"drain":true}')
        except redis.RedisError as error:
            log.warning("drain not sent gateway=%s cause=%s", id, error)
            raise NoGateway("Redis is away: the gateway cannot be told") from None

    def refresh(self) -> None:
        """Look now. Blocks."""
        with self._looking:
            self._refresh()

    def look(self) -> None:
        """As `refresh`, unless somebody just has: for a client that found none, while the next one may be there."""
        with self._looking:
            if self._clock() - self._looked_s >= LOOK_S:
                self._refresh()

    def _refresh(self) -> None:
        try:
            self._read_or_ask()
        finally:
            self._looked_s = self._clock()

    def _read_or_ask(self) -> None:
        suspects, self._suspects = self._suspects, {}
        try:
            reports = self._reports()
        except (redis.RedisError, OSError) as error:
            if not self.redis_is_away:
                log.warning("redis away, asking gateways themselves cause=%s", error)
            self.redis_is_away = True
            self._disconnect()
            # None is forgotten meanwhile: it could not tell us that it is back.
            self._known = self._asked(self._known.values())
            return
        if self.redis_is_away:
            log.info("redis back")
        self.redis_is_away = False
        self._known = self._merged(reports, suspects)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(POLL_S)
            # Whoever finds none asks again and again: ten looks a second are enough.
            self._wake.clear()
            try:
                self.refresh()
            except Exception:
                log.exception("registry: look failed")
            if self._wake.is_set():
                time.sleep(0.1)

    def _suspect(self, reports: Iterable[Report]) -> None:
        """A client could not reach them: look whether they live before their report runs out."""
        for report in reports:
            if self._suspects.get(report.id) != report.boot:
                self._suspects = {**self._suspects, report.id: report.boot}
                self._wake.set()

    def _reports(self) -> list[Report]:
        if self._redis is None:
            self._redis = redis.Redis.from_url(self._redis_url(), **_patience())
        # redis-py's types leave open whether a client is asynchronous.
        ids: Collection[bytes] = self._redis.smembers(registry_ids(self._prefix))    # type: ignore[assignment]
        names = sorted(id.decode(errors="replace") for id in ids)[:MAX_GATEWAYS]
        if not names:
            return []
        texts: list[bytes | None] = self._redis.mget(    # type: ignore[assignment]
            [registry_key(self._prefix, name) for name in names])
        reports = []
        for name, text in zip(names, texts, strict=True):
            if text is None:
                continue
            try:
                report = msgspec.json.decode(text, type=Report)
            except msgspec.MsgspecError as error:
                log.warning("gateway's report unreadable gateway=%s cause=%s", name, error)
                continue
            if report.id == name:
                reports.append(report)
        return reports

    def _merged(self, reports: list[Report], suspects: dict[str, str]) -> dict[str, Gateway]:
        now_s = self._clock()
        known = {}
        for report in reports:
            state: State = "draining" if report.draining else "up"
            before = self._known.get(report.id)
            is_same = before is not None and (before.report.boot, before.report.at) == (report.boot, report.at)
            if suspects.get(report.id) == report.boot:
                state = self._probe(report.health)
            elif is_same and before is not None and before.state == "lost":
                state = "lost"      # until it reports again
            known[report.id] = Gateway(report, state, now_s)
        missing = [gateway for id, gateway in self._known.items() if id not in known]
        known.update({gateway.id: replace(gateway, state="lost") for gateway in missing
                      if gateway.state == "lost" and now_s - gateway.seen_s < FORGET_S})
        # Redis may have come back empty, or a gateway not have found it again: those that lived are asked.
        known.update(self._asked([gateway for gateway in missing if gateway.state != "lost"]))
        return known

    def _asked(self, gateways: Collection[Gateway]) -> dict[str, Gateway]:
        if not gateways:
            return {}
        with ThreadPoolExecutor(min(len(gateways), PROBES_AT_ONCE)) as pool:
            states = list(pool.map(lambda gateway: self._probe(gateway.report.health), gateways))
        now_s = self._clock()
        return {gateway.id: replace(gateway, state=state, seen_s=now_s)
                for gateway, state in zip(gateways, states, strict=True)}

    def _disconnect(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            with suppress(redis.RedisError, OSError):    # it is away
                client.close()


def probe_health(url: str) -> State:
    """What the gateway whose /healthz this is says of itself."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return "lost"
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "lost"
    finally:
        connection.close()
    return "up" if status == 200 else "draining"


def _patience() -> dict[str, float]:
    return {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
