import json
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from hotpath.core.data.shared import Counters
from hotpath.core.telemetry import (
    Exposition,
    JsonFormatter,
    Ledger,
    LineFormatter,
    LogFile,
    number,
    series,
    start_logging,
    utc_of,
)

TIME_S = 1795487265.1234


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("hotpath.x", logging.INFO, "x.py", 1, message, args, exc_info)
    made.created = TIME_S
    return made


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, left afterwards as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_time_level_name_and_message() -> None:
    assert LineFormatter().format(record("worker=%d up", 3)) == "2026-11-24T02:27:45.123Z INFO hotpath.x worker=3 up"


def test_an_object_has_the_same_parts() -> None:
    assert json.loads(JsonFormatter().format(record("worker=%d up", 3))) == {
        "time": "2026-11-24T02:27:45.123Z", "level": "INFO", "name": "hotpath.x", "message": "worker=3 up",
    }


@pytest.mark.parametrize(("time_s", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1.9999, "1970-01-01T00:00:01.999Z")])
def test_times_are_utc_to_the_millisecond(time_s: float, text: str) -> None:
    assert utc_of(time_s) == text


@given(st.text())
def test_no_message_forges_a_line(message: str) -> None:
    for formatter in (LineFormatter(), JsonFormatter()):
        line = formatter.format(record("%s", message))
        assert len(line.splitlines()) == 1
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)


def test_a_message_is_whole_in_json() -> None:
    message = "a\nb\x1b[31m\"\\\u2028"
    assert json.loads(JsonFormatter().format(record("%s", message)))["message"] == message


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_a_stack_trace_stays_on_the_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("failed", error=OSError("disk\nfull")))
    assert r"OSError: disk\nfull" in line
    assert "\n" not in line


def test_all_logging_goes_to_the_file(root: logging.Logger, tmp_path: Path) -> None:
    start_logging(str(tmp_path / "a.log"), level="warning")
    logging.getLogger("hotpath.x").info("not this")
    logging.getLogger("hotpath.x").warning("but=%s", "this")
    (line,) = (tmp_path / "a.log").read_text().splitlines()
    assert line.endswith("Z WARNING hotpath.x but=this")


def test_a_second_start_replaces_the_first(root: logging.Logger, tmp_path: Path) -> None:
    start_logging(str(tmp_path / "a.log"))
    start_logging(str(tmp_path / "b.log"), format="json")
    logging.getLogger("hotpath.x").info("hello")
    assert (tmp_path / "a.log").read_text() == ""
    assert json.loads((tmp_path / "b.log").read_text())["message"] == "hello"


def test_a_file_that_cannot_be_opened_changes_nothing(root: logging.Logger, tmp_path: Path) -> None:
    start_logging(str(tmp_path / "a.log"))
    with pytest.raises(FileNotFoundError):
        start_logging(str(tmp_path / "none" / "b.log"))
    logging.getLogger("hotpath.x").info("hello")
    assert "hello" in (tmp_path / "a.log").read_text()


def test_a_dash_is_stderr(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    file = start_logging()
    file.reopen()
    logging.getLogger("hotpath.x").info("hello")
    assert capfd.readouterr().err.endswith("INFO hotpath.x hello\n")
    file.close()
    os.fstat(2)


def test_a_renamed_file_is_left_on_reopen(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = LogFile(str(path))
    file.emit(record("one"))
    path.rename(tmp_path / "a.log.1")
    file.emit(record("two"))
    file.reopen()
    file.emit(record("three"))
    file.close()
    assert (tmp_path / "a.log.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = LogFile(str(folder / "a.log"))
    folder.rename(tmp_path / "old")
    with pytest.raises(FileNotFoundError):
        file.reopen()
    file.emit(record("one"))
    file.close()
    assert (tmp_path / "old" / "a.log").read_text() == "one\n"


def test_what_cannot_be_written_is_counted() -> None:
    file = LogFile("/dev/full")
    file.emit(record("one"))
    file.emit(record("two"))
    assert file.dropped == 2
    file.close()


def test_a_message_that_no_encoding_holds_is_written(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "a.log"))
    file.emit(record("a\udcffb"))
    file.close()
    assert (tmp_path / "a.log").read_text() == "a\\udcffb\n"


class Block:
    """Counters of one process, as `core.data.shared.Counters` has them for many."""

    def __init__(self, **counts: int) -> None:
        self.names = tuple(counts)
        self.counts = list(counts.values())

    def total(self, i: int) -> int:
        return self.counts[i]


def test_totals_are_summed_over_generations() -> None:
    ledger = Ledger()
    assert ledger.totals() == {}
    ledger.attach(Block(a=1, b=2))
    ledger.attach(Block(b=3, c=4))
    assert ledger.totals() == {"a": 1, "b": 5, "c": 4}


def test_a_draining_generation_counts_until_it_is_retired_and_its_counts_stay() -> None:
    ledger, old, new = Ledger(), Block(a=1), Block(a=0)
    ledger.attach(old)
    ledger.attach(new)
    old.counts[0] += 10
    assert ledger.totals() == {"a": 11}
    ledger.retire(old)
    new.counts[0] += 100
    assert ledger.totals() == {"a": 111}


def test_a_block_is_retired_once() -> None:
    ledger, block = Ledger(), Block(a=1)
    ledger.attach(block)
    ledger.retire(block)
    with pytest.raises(ValueError, match="not attached"):
        ledger.retire(block)
    assert ledger.totals() == {"a": 1}


def test_shared_counters_are_such_blocks() -> None:
    ledger, block = Ledger(), Counters(("a", "b"), 2)
    ledger.attach(block)
    for worker in range(2):
        block.worker = worker
        block.add(1, 5)
    assert ledger.totals() == {"a": 0, "b": 10}
    ledger.retire(block)
    assert ledger.totals() == {"a": 0, "b": 10}


@given(st.lists(st.tuples(st.sampled_from(["add", "reload", "retire"]), st.integers(0, 5), st.integers(0, 9))))
def test_totals_equal_a_plain_sum_and_never_fall(steps: list[tuple[str, int, int]]) -> None:
    ledger, live, counted = Ledger(), [Block(a=0)], 0
    ledger.attach(live[0])
    for step, i, n in steps:
        if step == "add":
            live[i % len(live)].counts[0] += n
            counted += n
        elif step == "reload":
            live.append(Block(a=0))
            ledger.attach(live[-1])
        elif len(live) > 1:
            ledger.retire(live.pop(i % len(live)))
        assert ledger.totals() == {"a": counted}


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples, as Prometheus' own parser reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_text_is_what_prometheus_documents() -> None:
    out = Exposition()
    out.counter("x_total", "How many.\nReally.", [({"route": 'a"b\\c\nd'}, 3), ({}, 4)])
    out.gauge("y", "How much.", [({}, 0.5), ({"a": "b", "c": "d"}, -math.inf)])
    out.histogram("z_seconds", "How long.", [0.1, 1], [({"r": "s"}, [1, 0, 2], 5.5)])
    assert out.text() == (
        "# HELP x_total How many.\\nReally.\n# TYPE x_total counter\n"
        'x_total{route="a\\"b\\\\c\\nd"} 3\nx_total 4\n'
        "# HELP y How much.\n# TYPE y gauge\n"
        'y 0.5\ny{a="b",c="d"} -Inf\n'
        "# HELP z_seconds How long.\n# TYPE z_seconds histogram\n"
        'z_seconds_bucket{r="s",le="0.1"} 1\nz_seconds_bucket{r="s",le="1"} 1\nz_seconds_bucket{r="s",le="+Inf"} 3\n'
        'z_seconds_sum{r="s"} 5.5\nz_seconds_count{r="s"} 3\n'
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LABELS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), TEXT.filter(lambda s: "\r" not in s))


@given(LABELS, st.floats(allow_nan=False) | st.integers(0, 2**53))
def test_prometheus_reads_back_what_was_given(labels: dict[str, str], value: float) -> None:
    out = Exposition()
    out.gauge("x", "Anything.", [(labels, value)])
    assert parsed(out.text()) == {("x", tuple(sorted(labels.items()))): value}


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4))
def test_buckets_are_cumulative_and_end_with_all(counts: list[int]) -> None:
    out = Exposition()
    out.histogram("x", "Anything.", [0.25, 0.5, 1.0], [({}, counts, 1.5)])
    samples = parsed(out.text())
    for n, bound in enumerate(["0.25", "0.5", "1.0", "+Inf"], 1):
        assert samples["x_bucket", (("le", bound),)] == sum(counts[:n])
    assert samples["x_count", ()] == sum(counts)


def test_a_label_of_broken_bytes_can_be_encoded() -> None:
    assert series("x", {"a": "b\udcff"}).encode() == b'x{a="b?"}'


def test_numbers_are_spelled_as_prometheus_does() -> None:
    assert [number(value) for value in (1, 0.5, math.inf, -math.inf, math.nan)] == ["1", "0.5", "+Inf", "-Inf", "NaN"]


def test_what_prometheus_would_refuse_is_an_error_here() -> None:
    out = Exposition()
    with pytest.raises(ValueError, match="metric name"):
        out.gauge("a b", "", [])
    with pytest.raises(ValueError, match="label name"):
        out.gauge("a", "", [({"b c": ""}, 1)])
    out.gauge("b", "", [])
    with pytest.raises(ValueError, match="added already"):
        out.counter("b", "", [])
    with pytest.raises(ValueError, match="do not rise"):
        out.histogram("c", "", [1, 1], [])
    with pytest.raises(ValueError, match="2 counts for 2 bounds"):
        out.histogram("d", "", [1, 2], [({}, [1, 2], 3)])
