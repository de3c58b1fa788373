"""What a scenario is: the rows it begins with, what the actors do, and what the data say at the end."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from .actor import Actor, Key
from .tables import Base

SAFE = "safe"
ANOMALY = "anomaly"

Part = Callable[[Actor, Key], None]


@dataclass(frozen=True, slots=True)
class Way:
    """A policy: what every actor does under it, in words and as a function, and the verdict that the data should give.
    """

    about: str
    part: Part
    expected: str = SAFE


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the rule of the scenario holds in the data, and the figures that show it."""

    holds: bool
    measure: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`title` and `about` are for people; `policies` are in the order to be shown, those that fail first."""

    name: str
    title: str
    about: str
    actors: Sequence[str]                           # in the order of their turns
    rows: Callable[[Key], Sequence[Base]]
    ways: Mapping[str, Way]                         # by policy
    # Called with the names of the actors that came to their end.
    outcome: Callable[[Session, Key, Sequence[str]], Outcome]

    @property
    def policies(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.ways)
