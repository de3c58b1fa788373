"""A figure or two of each part, out of what its `/metrics` say."""
from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

# `name{label="value",…} 12.5`, as Prometheus writes it. A value of a label may hold anything, escaped.
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Figure:
    """The sum of a family's samples."""

    label: str
    unit: str
    family: str
    having: str = ""                # only samples with this label, as kind="live"
    per_second: bool = False        # how fast it rises
    counts_samples: bool = False    # how many there are

    def read(self, texts: Collection[str]) -> float | None:
        """What the answers of a part's servers come to; None: none of them knows it."""
        found = [float(value) for text in texts for name, labels, value in SAMPLE.findall(text)
                 if name == self.family and self.having in labels]
        if self.counts_samples:
            return len(found) or None
        # A family without a sample: nothing was counted yet.
        return sum(found) if found or any(f"# TYPE {self.family} " in text for text in texts) else None


class Reading:
    """A figure as time goes by."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._before: tuple[float, float] | None = None     # when, and what it was

    def value(self, texts: Collection[str], now_s: float) -> float | None:
        """What to show now. A counter that began anew has no speed yet."""
        read = self.figure.read(texts)
        if not self.figure.per_second:
            return None if read is None else _short(read)
        before, self._before = self._before, None if read is None else (now_s, read)
        if read is None or before is None or read < before[1] or now_s <= before[0]:
            return None
        return _short((read - before[1]) / (now_s - before[0]))


def _short(value: float) -> float:
    return int(value) if value == int(value) else round(value, 1)
