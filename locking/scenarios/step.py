"""What one actor did, and what came of it."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """`outcome`: ok; wait (for a lock; the same statement follows once more, with what came of it); conflict, deadlock,
    timeout, error; retry (the actor begins anew); note (a sentence of the actor's, in `note`).
    """

    n: int                  # from 1
    t_ms: float             # since the play began; never less than the step's before it
    actor: str
    sql: str | None         # as a person would write it; None: no statement
    outcome: str
    note: str | None = None

    def as_json(self) -> dict[str, object]:
        """One line of `show --json`; `note` is there where there is one."""
        line: dict[str, object] = {
            "n": self.n, "t_ms": self.t_ms, "actor": self.actor, "sql": self.sql, "outcome": self.outcome}
        return line if self.note is None else {**line, "note": self.note}
