"""Draws a play: a column for each actor, a line for each step, then what the data say."""
from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from .playing import Result
from .scenario import SAFE, Scenario
from .step import Step

# A statement of these fits into one line of two such columns.
WIDTH = 128
LEAST_COLUMN = 24
BAR = " │ "
# What is said of a step that is not simply done, and how it looks.
LOOKS = {
    "wait": ("waits", "yellow"), "conflict": ("conflict: changed since it was read", "red"),
    "deadlock": ("deadlock: sent away", "red"), "timeout": ("refused: the lock is taken", "red"),
    "error": ("refused", "red"), "retry": ("begins anew", "cyan"),
}
NOTE = "italic dim"


class Columns:
    """Prints steps one by one."""

    def __init__(self, screen: Console, actors: Sequence[str]) -> None:
        """The actors, from left to right; their names are printed at once."""
        self._screen = screen
        self._actors = tuple(actors)
        self._waiting: dict[str, str | None] = {}       # who waits, and for what
        n = len(self._actors)
        self._width = max(LEAST_COLUMN, (min(screen.width, WIDTH) - len(BAR) * (n - 1) - 2) // n)
        self._print({actor: [Text(actor, "bold")] for actor in self._actors})

    def add(self, step: Step) -> None:
        """The next one."""
        self._print({step.actor: self._lines(step)})
        if step.outcome == "wait":
            self._waiting[step.actor] = step.sql
        elif step.sql is not None:
            self._waiting.pop(step.actor, None)

    def _lines(self, step: Step) -> list[Text]:
        word, style = LOOKS.get(step.outcome, ("", ""))
        if step.note is not None:
            return self._wrapped(f"→ {step.note}", NOTE)
        if step.sql is None:
            return self._wrapped(f"↻ {word}" if step.outcome == "retry" else f"✗ {word}", style)
        if step.actor in self._waiting:     # its statement stands above
            return self._wrapped(f"└ {word or 'goes on'}", style or "green")
        lines = self._wrapped(step.sql, "" if word else "default")
        return lines + self._wrapped(f"{'┌' if step.outcome == 'wait' else '✗'} {word}", style) if word else lines

    def _wrapped(self, sentence: str, style: str) -> list[Text]:
        return [Text(line, style) for line in textwrap.wrap(sentence, self._width, subsequent_indent="  ")]

    def _print(self, cells: dict[str, list[Text]]) -> None:
        for i in range(max(map(len, cells.values()))):
            line = Text("  ")
            for actor in self._actors:
                if actor != self._actors[0]:
                    line.append(BAR, "dim")
                cell = cells.get(actor, [])[i:i + 1] or [Text("│", "yellow") if actor in self._waiting else Text()]
                line.append_text(cell[0])
                if actor != self._actors[-1]:
                    line.append(" " * (self._width - cell[0].cell_len))
            line.rstrip()
            self._screen.print(line, soft_wrap=True)


def heading(scenario: Scenario, policy: str) -> Text:
    """The scenario, above the first of its policies, and the policy."""
    text = Text()
    if policy == scenario.policies[0]:
        text.append(f"\n{scenario.title}\n", "bold reverse").append(f"{scenario.about}\n")
    return text.append(f"\n{scenario.name} ").append(policy, "bold").append(f": {scenario.ways[policy].about}", "dim")


def verdict(result: Result) -> Text:
    """What the data say."""
    safe = result.verdict == SAFE
    text = Text("  ").append(f"{'✓' if safe else '✗'} {result.verdict}", "bold green" if safe else "bold red")
    if not result.ok:
        text.append(f", but {result.expected} was expected", "bold red")
    figures = " · ".join(f"{name} {figure(value)}" for name, value in result.measure.items())
    return text.append(f"   {figures}").append(f"   {result.attempts} attempts on {result.backend}", "dim")


def figure(value: object) -> str:
    """A number, or several."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def summary(oks: Sequence[bool]) -> Text:
    """The last line."""
    return Text(f"\n{sum(oks)} of {len(oks)} as expected", "bold green" if all(oks) else "bold red")


def console() -> Console:
    """Where it is drawn; as wide as the columns like to be where there is no terminal to fit."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=WIDTH)
