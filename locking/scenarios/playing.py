"""Plays a scenario under a policy on a database, and judges by the data that are left."""
from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hotpath.locking.classify import first_line, translating
from hotpath.locking.engine import engine as open_engine
from hotpath.locking.errors import LockingError, Unusable

from . import bank_transfer, deadlock, lost_update, seat_booking, write_skew
from .actor import Actor, Key
from .recorder import Recorder
from .scenario import ANOMALY, SAFE, Scenario
from .stage import Stage, names
from .step import Step
from .tables import PREFIX, clear, fill

SCENARIOS: Mapping[str, Scenario] = {module.SCENARIO.name: module.SCENARIO for module in (
    lost_update, write_skew, deadlock, seat_booking, bank_transfer)}
# How long a lock is waited for, beside the rests between the steps: far longer than any is held.
LOCK_TIMEOUT_S = 30.0
MOST_STEPS = 100
# Where the second of two who read a row may overwrite it. In MariaDB it may not when there are snapshots, as there are
# from 11.6.2 on if nobody says otherwise.
LAX = {
    "mysql": ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ"),
    "mariadb": ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ"),
    "postgresql": ("READ UNCOMMITTED", "READ COMMITTED"),
}
LEVEL = "READ COMMITTED"
REMARK = f"at {LEVEL}: this server's default would refuse what follows"
SNAPSHOTS = "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"


class UnknownScenario(LockingError, LookupError):
    """No scenario has this name; the message names those that there are."""


class UnknownPolicy(LockingError, LookupError):
    """The scenario has no such policy; the message names those that it has."""


@dataclass(frozen=True, slots=True)
class Result:
    """`attempts`: tries of all actors together; `measure`: the figures that the verdict comes from."""

    scenario: str
    policy: str
    backend: str            # sqlite, mysql, mariadb or postgresql
    verdict: str            # safe or anomaly
    expected: str
    attempts: int
    measure: Mapping[str, object]
    steps: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict == self.expected

    def as_json(self, *, steps: bool) -> dict[str, object]:
        """For `show --json` and HTTP; `steps`: with them inside."""
        told: dict[str, object] = {
            "scenario": self.scenario, "policy": self.policy, "backend": self.backend, "verdict": self.verdict,
            "expected": self.expected, "ok": self.ok, "attempts": self.attempts, "measure": dict(self.measure)}
        return {**told, "steps": [step.as_json() for step in self.steps]} if steps else told


def find(name: str, policy: str | None = None) -> Scenario:
    """The scenario, which has the policy. Raises UnknownScenario, UnknownPolicy."""
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise UnknownScenario(f"no scenario is called {name!r}; allowed: {', '.join(SCENARIOS)}")
    if policy is not None and policy not in scenario.ways:
        raise UnknownPolicy(f"{name} has no policy {policy!r}; allowed: {', '.join(scenario.policies)}")
    return scenario


def play(engine: Engine, name: str, policy: str, *, pace_s: float = 0.0,
         on_step: Callable[[Step], None] | None = None) -> Result:
    """Play it on the database of `engine`; `on_step` is called with each step, and then there is a rest of `pace_s`.

    The actors have connections of their own, so nobody waits for the pool of `engine`. They are at the isolation that
    the server gives; where that would prevent what is to go wrong, at READ COMMITTED. Their tables, hotpath_scene_…,
    are made if need be, and are empty again behind the play; several may be played at once. SQLite has one lock for the
    whole file, which would stop everybody else: there the play has a file of its own. Raises UnknownScenario,
    UnknownPolicy, Unusable, and Disconnected when the server goes away.
    """
    scenario = find(name, policy)
    way = scenario.ways[policy]
    backend, strict = look(engine.url)
    isolation = LEVEL if strict and way.expected == ANOMALY else None
    key = Key("#" + secrets.token_hex(4))
    with usable(), ExitStack() as stack:
        url = stack.enter_context(place(engine.url))
        ours = open_engine(url, pool_size=1)
        stack.callback(ours.dispose)
        stack.callback(clear, ours, key.mark)
        fill(ours, scenario.rows(key))
        stage = Stage(on_step or (lambda _step: None), pace_s=pace_s)
        actors = {}
        for who in scenario.actors:
            player = stage.player(who)
            recorder = Recorder(player, key.mark)
            watched = recorder.open(url, lock_timeout_s=LOCK_TIMEOUT_S + MOST_STEPS * pace_s, isolation=isolation)
            stack.callback(watched.dispose)
            actor = Actor(who, watched, recorder, remark=isolation and REMARK)
            actors[player] = (actor, partial(actor.live, way.part, key))
        stage.perform({player: part for player, (_, part) in actors.items()})
        with Session(ours) as session:
            outcome = scenario.outcome(session, key, names(tuple(actors)))
    return Result(name, policy, backend, SAFE if outcome.holds else ANOMALY, way.expected,
                  sum(actor.attempts for actor, _ in actors.values()), outcome.measure, tuple(stage.steps))


def look(url: URL) -> tuple[str, bool]:
    """Who answers there, and whether it refuses lost updates at its default isolation. Raises Unusable."""
    engine = open_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                return "sqlite", False
            maria = bool(getattr(engine.dialect, "is_mariadb", False))
            strict = connection.get_isolation_level() not in LAX[engine.dialect.name]
            if maria and not strict:
                setting = connection.execute(text(SNAPSHOTS)).first()
                strict = setting is not None and setting[1] == "ON"
            return "mariadb" if maria else engine.dialect.name, strict
    except DBAPIError as error:
        raise Unusable(f"{url.render_as_string()}: {first_line(error)}; start the server, or name a database that you "
                       "may use") from error
    finally:
        engine.dispose()


@contextmanager
def usable() -> Iterator[None]:
    """A block in which what the database refuses is Unusable, or Disconnected."""
    try:
        with translating():
            yield
    except DBAPIError as error:
        raise Unusable(f"the scenarios need the rights SELECT, INSERT, UPDATE and DELETE on the tables {PREFIX}…: "
                       f"{first_line(error)}") from error


@contextmanager
def place(url: URL) -> Iterator[URL]:
    """Where to play."""
    if url.get_backend_name() != "sqlite":
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="hotpath-locking-") as folder:
        yield make_url("sqlite:///" + str(Path(folder, "play.db")))
