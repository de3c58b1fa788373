"""What people ask of the movement of shards: begin, look, steer."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import msgspec

from hotpath.core.errors import HotpathError, ReshardConflict, ShardUnavailable
from hotpath.shard.bringup import House
from hotpath.shard.config import META_NAME, SHARD_NAME, ShardConfig
from hotpath.shard.directory import Directory
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.topology import Topology

from .audit import audit
from .plan import Part, adding, check_tables, removing
from .reshard import CANCELLABLE, Reshard, dumped, loaded
from .sql import TableSql

# A forecast counts rows for so long, and guesses the rest.
COUNT_S = 3.0
# Rows per second where no rate is set, for a forecast: what one target of small rows takes, about.
UNCAPPED = 50_000.0


class UnknownShard(HotpathError, LookupError):
    """No shard of this name is a member."""


class InvalidRequest(HotpathError, ValueError):
    """A field of the request cannot be; `errors` are `{"path": ..., "message": ...}`."""

    def __init__(self, path: str, message: str) -> None:
        """Of one field."""
        super().__init__(f"{path}: {message}")
        self.errors = [{"path": path, "message": message}]

    def __reduce__(self) -> tuple[type[InvalidRequest], tuple[str, str]]:
        """Pickle by the two fields."""
        return type(self), (self.errors[0]["path"], self.errors[0]["message"])


class _Asked(TypedDict):
    """How the rows of a reshard are to be moved."""

    rate: float
    hold: bool
    keep_source: bool


class Admin:
    """Any thread may use it. Every method raises ShardUnavailable while the map's database is down."""

    def __init__(self, directory: Directory, house: House, config: ShardConfig) -> None:
        self._directory = directory
        self._house = house
        self._config = config

    # ---- begin

    def add(self, name: str, weight: float = 1.0, dsn: str | None = None, *, rate: float | None = None,
            hold: bool | None = None, keep_source: bool | None = None, dry_run: bool = False) -> dict[str, object]:
        """A shard more. Raises InvalidRequest, ReshardConflict."""
        self._may_move()
        if not isinstance(name, str) or re.fullmatch(SHARD_NAME, name) is None or name == META_NAME:
            raise InvalidRequest("name", f"{name!r} is no name for a shard; allowed: a-z, 0-9 and -, a letter first, "
                                         "up to 31, and not 'meta'")
        _number("weight", weight, least=0.0, most=1000.0, above=True)
        last, topology = self._now()
        if any(member.name == name for member in topology.members):
            raise ReshardConflict(f"{name} is a shard already")
        self._check_dsn(dsn, topology)
        if dsn is None and self._house.backend.exists(name):
            raise ReshardConflict(f"something stands under the name {name} already, perhaps of a shard that was "
                                  "removed; move it away, or take another name")
        parts = adding(topology, name, float(weight), self._house.meta.facts().vnodes)
        return self._begin(Reshard.begun(
            "add", name, parts, weight=float(weight), dsn=dsn, **self._asked(rate, hold, keep_source)), last, dry_run)

    def remove(self, name: str, *, rate: float | None = None, hold: bool | None = None,
               keep_source: bool | None = None, keep_server: bool = False,
               dry_run: bool = False) -> dict[str, object]:
        """A shard less. Raises UnknownShard, InvalidRequest, ReshardConflict."""
        self._may_move()
        last, topology = self._now()
        if all(member.name != name for member in topology.members):
            raise UnknownShard(f"no shard is called {name!r}; there are: "
                               f"{', '.join(member.name for member in topology.members)}")
        if len(topology.members) == 1:
            raise ReshardConflict(f"{name} is the last shard; its rows have nowhere to go")
        facts = self._house.meta.facts()
        if _holds(topology.member(name).endpoint, self._house.meta.shard.endpoint):
            raise ReshardConflict(f"{name} holds the map of the cluster and cannot be removed")
        return self._begin(Reshard.begun(
            "remove", name, removing(topology, name, facts.vnodes), keep_server=keep_server,
            endpoint=topology.member(name).endpoint, **self._asked(rate, hold, keep_source)), last, dry_run)

    def _begin(self, reshard: Reshard, last: str | None, dry_run: bool) -> dict[str, object]:
        if dry_run:
            return self._forecast(reshard)

        def begin(text: bytes | None) -> bytes:
            old = None if text is None else loaded(text)
            if old is not None and not old.over:
                raise ReshardConflict(f"{'adding' if old.kind == 'add' else 'removing'} {old.shard} is under way "
                                      f"({old.state}); one at a time")
            if (None if old is None else old.id) != last:
                raise ReshardConflict("another reshard has just ended; try again")
            return dumped(reshard)

        self._directory.meta.change_reshard(begin)
        return reshard.document()

    def _now(self) -> tuple[str | None, Topology]:
        """The last reshard, and the map to plan on."""
        # In this order: if no other reshard was begun in between, none has changed the map.
        text = self._directory.meta.reshard()
        return None if text is None else loaded(text).id, self._directory.refresh()

    def _may_move(self) -> None:
        facts = self._house.meta.facts()
        if not facts.fence:
            raise ReshardConflict("this cluster was made with `fence: false`: its shards cannot be added or removed")
        check_tables(facts, self._config)

    def _check_dsn(self, dsn: str | None, topology: Topology) -> None:
        if self._config.backend != "dsn":
            if dsn is not None:
                raise InvalidRequest("dsn", f"not with backend {self._config.backend}; allowed: with backend dsn")
            return
        if dsn is None:
            raise InvalidRequest("dsn", f"missing; allowed: {Endpoint.forms}")
        try:
            endpoint = Endpoint.parse(dsn)
        except ValueError as error:
            raise InvalidRequest("dsn", str(error)) from None
        for member in topology.members:
            other = Endpoint.parse(member.endpoint)
            if (endpoint.address, endpoint.database) == (other.address, other.database):
                raise ReshardConflict(f"{endpoint.shown} is shard {member.name} already")

    def _asked(self, rate: float | None, hold: bool | None, keep_source: bool | None) -> _Asked:
        """What was said, and what is configured where nothing was. Raises InvalidRequest."""
        move = self._config.move
        if rate is not None:
            _number("rate", rate, least=0.0, most=1e9)
        return {"rate": move.rate if rate is None else float(rate), "hold": move.hold if hold is None else hold,
                "keep_source": move.keep_source if keep_source is None else keep_source}

    # ---- a look ahead

    def _forecast(self, reshard: Reshard) -> dict[str, object]:
        deadline_s = time.monotonic() + COUNT_S
        moves = tuple(msgspec.structs.replace(one, total=self._count(
            Part(one.source, one.target, one.slots), deadline_s)) for one in reshard.moves)
        document = msgspec.structs.replace(reshard, moves=moves).document()
        rows = sum(one.total or 0 for one in moves)
        return document | {"started": None, "eta_s": round(rows / (reshard.rate or UNCAPPED), 1)}

    def _count(self, part: Part, deadline_s: float) -> int:
        """Its rows; from `deadline_s` on, as many as the slots counted until then let expect."""
        shard = self._directory.shard(part.source)
        rows = slots = 0
        statements = [TableSql(table, shard.dialect).count for table in self._config.schema.values()]
        for first, last in part.slots.runs:
            rows += sum(int(str(shard.rows(statement, (first, last))[0][0])) for statement in statements)
            slots += last - first + 1
            if time.monotonic() > deadline_s:
                break
        return round(rows * len(part.slots) / max(1, slots))

    # ---- look

    def document(self) -> dict[str, object] | None:
        """The reshard that runs, or the last one; None: there was none yet."""
        text = self._directory.meta.reshard()
        return None if text is None else loaded(text).document()

    def verify(self, progress: Callable[[int, int | None], None] | None = None) -> dict[str, object]:
        """Whether each row is on its owner, once; `progress` is told (slots looked at, all slots)."""
        return audit(self._directory, self._config, progress)

    # ---- steer

    def pause(self) -> dict[str, object]:
        """Stop after the chunk that is being written."""
        return self._steer(lambda record: {"paused": True})

    def resume(self) -> dict[str, object]:
        """Go on, also after an error."""
        return self._steer(lambda record: {"paused": False, "error": None if record.paused else record.error})

    def throttle(self, rate: float) -> dict[str, object]:
        """Rows per second; 0: no cap. Raises InvalidRequest."""
        _number("rate", rate, least=0.0, most=1e9)
        return self._steer(lambda record: {"rate": float(rate)})

    def complete(self) -> dict[str, object]:
        """End the hold."""
        def completed(record: Reshard) -> Mapping[str, object]:
            if record.state != "verified":
                raise ReshardConflict(f"it is {record.state}; only what is verified can be completed")
            return {"hold": False, "paused": False, "error": None}

        return self._steer(completed)

    def cancel(self) -> dict[str, object]:
        """Take all of it back."""
        def cancelled(record: Reshard) -> Mapping[str, object]:
            if record.state not in (*CANCELLABLE, "cancelling"):
                raise ReshardConflict(f"it is {record.state}: from its completion on it cannot be taken back")
            return {"state": "cancelling", "paused": False, "error": None}

        return self._steer(cancelled)

    def _steer(self, turn: Callable[[Reshard], Mapping[str, object]]) -> dict[str, object]:
        def steer(text: bytes | None) -> bytes:
            record = None if text is None else loaded(text)
            if record is None or record.over:
                raise ReshardConflict("no reshard runs")
            return dumped(msgspec.structs.replace(record, **turn(record)))

        text = self._directory.meta.change_reshard(steer)
        if text is None:
            raise ShardUnavailable("meta", "the record of the reshard is gone")
        return loaded(text).document()


def _holds(shard: str, meta: Endpoint) -> bool:
    """Whether the map is on the server of this shard."""
    return meta.kind == "mysql" and Endpoint.parse(shard).address == meta.address


def _number(path: str, value: object, *, least: float, most: float, above: bool = False) -> None:
    # Infinity and NaN are not between the two either; an int may be too large to be asked whether it is finite.
    fits = type(value) in (int, float) and (
        least < value if above else least <= value) and value <= most     # type: ignore[operator]
    if not fits:
        raise InvalidRequest(path, f"{value!r} is not allowed; allowed: a number {'above' if above else 'from'} "
                                   f"{least:g} to {most:g}")
