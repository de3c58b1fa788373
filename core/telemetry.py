"""What a server tells about itself: one log line per event, and metrics in Prometheus' text format.

Access logs are not written here: the hot paths write their own lines in C.
"""
from __future__ import annotations

import itertools
import json
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

# What Prometheus asks for in Accept, and expects back.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
# What could end a line, or steer the terminal of whoever reads it: C0, DEL, C1, and Unicode's two line ends.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class LineFormatter(logging.Formatter):
    """`2026-11-24T02:27:45.123Z INFO hotpath.proxy message`, on one line whatever the message holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = f"{utc_of(record.created)} {record.levelname} {record.name} {record.getMessage()}"
        trace = self.trace_of(record)
        return (f"{text} exception={trace}" if trace else text).translate(_CONTROLS)

    def trace_of(self, record: logging.LogRecord) -> str:
        """The stack trace that goes with `record`; "" for none."""
        parts = [self.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
        return "\n".join([*parts, record.stack_info] if record.stack_info else parts)


class JsonFormatter(LineFormatter):
    """One JSON object per line: time, level, name, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; escapes all that is not ASCII, and so every control character."""
        event = {
            "time": utc_of(record.created),
            "level": record.levelname,
            "name": record.name,
            "message": record.getMessage(),
        }
        trace = self.trace_of(record)
        return json.dumps({**event, "exception": trace} if trace else event)


class LogFile(logging.Handler):
    """Writes each line with one `write` to the end of a file, which forked processes may share; "-" is stderr.

    A line that cannot be written (a full disk, a closed pipe) is counted in `dropped`, and nobody is disturbed.
    """

    def __init__(self, path: str = "-") -> None:
        """Open `path`. Raises OSError."""
        super().__init__()
        self.path = path
        self.dropped = 0
        self._fd = _open(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line; called with the handler's lock held."""
        try:
            rest = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:   # a format that does not fit its arguments is no reason to fail whoever logs
            self.handleError(record)
            return
        try:
            while rest:     # a nearly full disk takes part of a line
                rest = rest[os.write(self._fd, rest):]
        except OSError:
            self.dropped += 1

    def reopen(self) -> None:
        """Go on in a new file of the same name, once the old one was renamed. Raises OSError: the old one stays."""
        self._go_on_in(_open(self.path))

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        self._go_on_in(-1)
        super().close()

    def _go_on_in(self, fd: int) -> None:
        self.acquire()      # no other thread is between reading the number and writing to it
        try:
            self._fd, old = fd, self._fd
        finally:
            self.release()
        if old > 2:
            os.close(old)


def start_logging(
    path: str = "-",
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["text", "json"] = "text",
) -> LogFile:
    """Send all logging of this process to `path`, in place of where an earlier call sent it. Raises OSError."""
    file = LogFile(path)
    file.setFormatter(JsonFormatter() if format == "json" else LineFormatter())
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        root.removeHandler(handler)
        handler.close()
    root.addHandler(file)
    root.setLevel(level.upper())
    return file


def utc_of(time_s: float) -> str:
    """`2026-11-24T02:27:45.123Z`, for seconds since 1970."""
    ms = int(time_s * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03}Z"


def _open(path: str) -> int:
    return 2 if path == "-" else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


class Counted(Protocol):
    """What `Ledger` asks of `core.data.shared.Counters`: totals of named counters over all workers."""

    @property
    def names(self) -> tuple[str, ...]:
        """The counters' names, in order."""
        ...

    def total(self, i: int) -> int:
        """The sum of counter `i` over all workers."""
        ...


class Ledger:
    """Counters that live on: a reload makes new blocks of shared memory, and the totals must never fall.

    Each generation of workers counts in a block of its own. While old workers drain, old and new blocks are summed;
    once the last of them is gone its block is folded into a base. A process forked in between keeps its own copy, with
    the old block still mapped, and sees the same totals.
    """

    def __init__(self) -> None:
        """Start from zero."""
        # Swapped as one, so that a reader in another thread never counts a block twice or not at all.
        self._state: tuple[dict[str, int], tuple[Counted, ...]] = ({}, ())

    def attach(self, block: Counted) -> None:
        """Count `block` too, from now on."""
        base, blocks = self._state
        self._state = base, (*blocks, block)

    def retire(self, block: Counted) -> None:
        """Fold `block` into the base; call it once nobody writes to it any more. ValueError: it is not attached."""
        base, blocks = self._state
        if not any(one is block for one in blocks):
            raise ValueError("this block is not attached")
        self._state = _sum(base, (block,)), tuple(one for one in blocks if one is not block)

    def totals(self) -> dict[str, int]:
        """Every counter there ever was, by name, summed over generations and workers."""
        return _sum(*self._state)


def _sum(base: Mapping[str, int], blocks: Iterable[Counted]) -> dict[str, int]:
    totals = dict(base)
    for block in blocks:
        for i, name in enumerate(block.names):
            totals[name] = totals.get(name, 0) + block.total(i)
    return totals


class Exposition:
    """Metrics in Prometheus' text format 0.0.4: add families, then take `text()`.

    ValueError for a name or label that the format does not allow, and for a family that is there already.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._lines: list[str] = []
        self._families: set[str] = set()

    def counter(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """What only rises; its name ends in `_total`."""
        self._family(name, help, "counter")
        self._samples(name, samples)

    def gauge(self, name: str, help: str, samples: Iterable[tuple[Labels, float]]) -> None:
        """What goes up and down."""
        self._family(name, help, "gauge")
        self._samples(name, samples)

    def histogram(
        self, name: str, help: str, bounds: Sequence[float], samples: Iterable[tuple[Labels, Sequence[int], float]]
    ) -> None:
        """How often values fell where: a sample is (labels, counts, sum of all values).

        `counts[i]` counts the values in (bounds[i - 1], bounds[i]], the last one those above every bound; they are
        made cumulative here. ValueError: `bounds` do not rise, or a sample has not one count more than bounds.
        """
        self._family(name, help, "histogram")
        if any(low >= high for low, high in itertools.pairwise(bounds)):
            raise ValueError(f"{name}: bounds {list(bounds)} do not rise")
        for labels, counts, total in samples:
            if len(counts) != len(bounds) + 1:
                raise ValueError(f"{name}: {len(counts)} counts for {len(bounds)} bounds")
            so_far = 0
            for bound, count in zip((*bounds, math.inf), counts, strict=True):
                so_far += count
                self._samples(f"{name}_bucket", [({**labels, "le": number(bound)}, so_far)])
            self._samples(f"{name}_sum", [(labels, total)])
            self._samples(f"{name}_count", [(labels, so_far)])

    def text(self) -> str:
        """All families, in the order they were added."""
        return "".join(self._lines)

    def _family(self, name: str, help: str, kind: str) -> None:
        if not _METRIC_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a metric name")
        if name in self._families:
            raise ValueError(f"{name} was added already; a family is given whole")
        self._families.add(name)
        escaped = help.replace("\\", "\\\\").replace("\n", "\\n")
        self._lines.append(f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n")

    def _samples(self, name: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._lines += [f"{series(name, labels)} {number(value)}\n" for labels, value in samples]


def series(name: str, labels: Labels) -> str:
    r"""`name{route="items",code="200"}`; backslashes, quotes and line ends in values are escaped."""
    pairs = []
    for label, value in labels.items():
        if not _LABEL_NAME.fullmatch(label):
            raise ValueError(f"{label!r} is not a label name")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        # Bytes of a client that are no UTF-8 arrive as lone surrogates, which no encoder lets out again.
        pairs.append(f'{label}="{escaped.encode(errors="replace").decode()}"')
    return f"{name}{{{','.join(pairs)}}}" if pairs else name


def number(value: float) -> str:
    """A value or bound as Prometheus writes it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
