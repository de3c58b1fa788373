"""`hotpath-locking show`: scenarios in the terminal, a column for each actor, as they happen."""
from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterator

from sqlalchemy import Engine

from hotpath.core.errors import ConfigError
from hotpath.locking.engine import engine as open_engine
from hotpath.locking.errors import Unusable

from .columns import Columns, console, heading, summary, verdict
from .playing import SCENARIOS, UnknownPolicy, UnknownScenario, find, look, play

ALL = "all"
# play() has a SQLite file of its own, so nothing is ever kept in this one.
NOWHERE = "sqlite://"


def run(given: argparse.Namespace) -> int:
    """The exit status: 0 when every verdict was the expected one. Raises ConfigError, Unusable."""
    plays = list(chosen(given.name, given.policy))
    try:
        engine = open_engine(NOWHERE if given.url is None else given.url, pool_size=1)
    except Unusable as error:
        raise ConfigError("hotpath-locking show", 0, "--url", str(error)) from None
    # Told to end, it leaves no file and no row behind, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        look(engine.url)        # before anything is drawn
        oks = [(as_json if given.json else drawn)(engine, name, policy, given.pace) for name, policy in plays]
    finally:
        engine.dispose()
    if not given.json and len(oks) > 1:
        console().print(summary(oks))
    return 0 if all(oks) else 1


def chosen(name: str, policy: str | None) -> Iterator[tuple[str, str]]:
    """Scenarios and policies, in the order to be shown. Raises ConfigError naming what is allowed."""
    if name == ALL:
        scenarios = [one for one in SCENARIOS.values() if policy is None or policy in one.policies]
        if not scenarios:
            known = dict.fromkeys(word for one in SCENARIOS.values() for word in one.policies)
            raise ConfigError("hotpath-locking show", 0, "--policy",
                              f"no scenario has a policy {policy!r}; allowed: {', '.join(known)}")
    else:
        try:
            scenarios = [find(name, policy)]
        except UnknownScenario as error:
            raise ConfigError("hotpath-locking show", 0, "NAME", f"{error}, {ALL}") from None
        except UnknownPolicy as error:
            raise ConfigError("hotpath-locking show", 0, "--policy", str(error)) from None
    for scenario in scenarios:
        for one in scenario.policies if policy is None else (policy,):
            yield scenario.name, one


def as_json(engine: Engine, name: str, policy: str, pace_s: float) -> bool:
    """A line for each step, then one for the result; whether it is the expected one."""
    result = play(engine, name, policy, pace_s=pace_s,
                  on_step=lambda step: print(json.dumps(step.as_json()), flush=True))
    print(json.dumps(result.as_json(steps=False)), flush=True)
    return result.ok


def drawn(engine: Engine, name: str, policy: str, pace_s: float) -> bool:
    """For a person; whether it is the expected one."""
    screen = console()
    scenario = SCENARIOS[name]
    screen.print(heading(scenario, policy))
    columns = Columns(screen, scenario.actors)
    result = play(engine, name, policy, pace_s=pace_s, on_step=columns.add)
    screen.print(verdict(result))
    return result.ok
