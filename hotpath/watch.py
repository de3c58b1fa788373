"""How is every part? Asked again and again, and written down for the landing page."""
from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotpath import __version__
from hotpath.core.config import Address
from hotpath.core.supervise import Supervisor

from .asking import Answer, Question, ask
from .figures import Reading

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from .parts import Member

CHECK_EVERY_S = 2.0
CHECK_AGAIN_S = 0.1             # while a part is not well
ANSWER_WITHIN_S = 1.0
# Which sandbox it has the IDE alone finds out, and says.
SANDBOX = re.compile(r"^ide +\| .*\bsandbox=(\w+)")
# Every server's last word of its start.
READY = re.compile(r"^(\S+) +\| ready: pid \d")
SANDBOXES = {"bubblewrap": "bubblewrap", "process": "plain processes, no sandbox"}


@dataclass(frozen=True, slots=True)
class Server:
    """Where a process of ours answers."""

    process: str
    address: Address
    token_file: Path | None = None      # with what `/metrics` asks for; it is there once the server is well

    @property
    def token(self) -> str | None:
        """What stands in it; None: nothing can be read there."""
        with suppress(OSError):
            return None if self.token_file is None else self.token_file.read_text().strip()
        return None


class Watch:
    """Asks every member how it is, and writes down what it heard."""

    def __init__(self, members: Sequence[Member], supervisor: Supervisor, status: Path) -> None:
        self._members = members
        self._supervisor = supervisor
        self._status = status
        self._latency_ms: dict[str, float | None] = {member.name: None for member in members}   # None: not well
        self._readings = {member.name: [Reading(figure) for figure in member.figures] for member in members}
        self._values: dict[str, list[float | None]] = {}
        self._engines = {member.name: member.engine for member in members}
        self._starting = {part.name for member in members for part in member.processes}
        self._n_restarts = 0
        self._due_s = 0.0

    @property
    def unwell(self) -> list[str]:
        """The names of the members that did not answer the last check."""
        return [name for name, latency_ms in self._latency_ms.items() if latency_ms is None]

    @property
    def starting(self) -> list[str]:
        """The names of the processes that have not said yet that they are ready: there are more words to come."""
        return sorted(self._starting)

    @property
    def wait_s(self) -> float:
        """Until the next check."""
        return max(0.0, self._due_s - time.monotonic())

    def engine(self, name: str) -> str:
        """What a member stands on, for people."""
        return self._engines[name]

    def hear(self, line: str) -> None:
        """A line of the parts' log."""
        if self._starting and (found := READY.match(line)):
            self._starting.discard(found[1])
        if "ide" in self._engines and (found := SANDBOX.match(line)) and found[1] in SANDBOXES:
            self._engines["ide"] = SANDBOXES[found[1]]

    def check_when_due(self) -> None:
        """Check, unless that was done a moment ago and nobody has died since."""
        n_restarts = sum(child.restarts for child in self._supervisor.children)
        if self.wait_s == 0.0 or n_restarts != self._n_restarts:
            self._n_restarts = n_restarts
            self.check()

    def check(self) -> None:
        """Ask everybody, write the answers to the status file; where that cannot be done just now, later."""
        try:
            self._check()
        except OSError as error:        # a full disk, no descriptor: the page is late, the parts go on
            self._due_s = time.monotonic() + CHECK_EVERY_S
            log.warning("status cannot be written cause=%s", error.strerror)

    def _check(self) -> None:
        there = {child.part.name for child in self._supervisor.children if child.process is not None}
        # Whose process is not there is not asked: its socket would have us wait.
        healths = _asked({member.name: [Question(server.address, "/healthz") for server in member.servers]
                          for member in self._members if all(server.process in there for server in member.servers)})
        self._latency_ms = {member.name: _latency_ms(healths.get(member.name, ())) for member in self._members}
        metrics = _asked({member.name: [Question(server.address, "/metrics", server.token) for server in member.servers]
                          for member in self._members if self._latency_ms[member.name] is not None})
        now_s = time.monotonic()
        for member in self._members:
            texts = [answer.body for answer in metrics.get(member.name, ()) if answer is not None]
            self._values[member.name] = [reading.value(texts, now_s) for reading in self._readings[member.name]]
        self._due_s = time.monotonic() + (CHECK_AGAIN_S if self.unwell else CHECK_EVERY_S)
        # Renamed into place: the page never reads half of it.
        fresh = self._status.with_suffix(".new")
        fresh.write_text(json.dumps(self.report()), encoding="utf-8")
        fresh.replace(self._status)

    def report(self) -> dict[str, Any]:
        """What the page shows."""
        restarts = {child.part.name: child.restarts for child in self._supervisor.children}
        return {"version": __version__, "check_every_s": CHECK_EVERY_S, "parts": [{
            "name": member.name, "title": member.title, "about": member.about, "path": member.path,
            "well": self._latency_ms[member.name] is not None,
            "latency_ms": self._latency_ms[member.name],
            "restarts": sum(restarts[part.name] for part in member.processes),
            "engine": self._engines[member.name],
            "figures": [{"label": reading.figure.label, "unit": reading.figure.unit, "value": value}
                        for reading, value in zip(self._readings[member.name], self._values[member.name], strict=True)],
            "links": [{"path": path, "text": text} for path, text in member.links.items()],
        } for member in self._members]}


def _asked(questions: Mapping[str, Sequence[Question]]) -> dict[str, list[Answer | None]]:
    """The answers to everybody's questions, asked all at once."""
    answers = iter(ask([question for those in questions.values() for question in those], ANSWER_WITHIN_S))
    return {name: [next(answers) for _ in those] for name, those in questions.items()}


def _latency_ms(health: Sequence[Answer | None]) -> float | None:
    """Of the slowest; None unless each answered."""
    took = [answer.took_ms for answer in health if answer is not None]
    return max(took) if took and len(took) == len(health) else None
