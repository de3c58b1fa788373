"""The access log's lines: whatever a client sends, one line each, that a reader of that format can read."""
from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import resource
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.core.config import loads
from hotpath.core.net.lines import open_lines
from hotpath.proxy.config import AccessLog as Settings
from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.log import COMBINED, FIELDS, AccessLog, segments_of
from hotpath.proxy.probe import Probe
from hotpath.proxy.state import State
from hotpath.proxy.syntax import LOG_FIELDS
from tests.probing import NOW_US, config_of, head

# 2026-11-24T02:27:45.123Z
UNIX_US = 1_795_487_265_123_456


class Written:
    """A worker that logs to `path`."""

    def __init__(self, path: str, *, config: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.path = path
        self.log = AccessLog(Settings(path=path, **settings))
        given = config_of(config or {})
        self.state = State(given)
        self.worker = Probe(given, self.state, 0, self.log)
        self.worker.now_us, self.worker.unix_us = NOW_US, UNIX_US

    def request(self, head: bytes, status: int = 200, *, body_sent: int = 5) -> None:
        self.worker.request(head).end(status, body_sent=body_sent)

    def lines(self) -> list[str]:
        self.log.flush()
        return Path(self.path).read_bytes().decode("utf-8").splitlines()

    @property
    def dropped(self) -> int:
        return self.state.counters.total(self.state.counters.names.index("log_dropped"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "access.log")


def test_a_combined_line_is_apaches(path: str) -> None:
    written = Written(path)
    written.request(head("/a?b=c", ("Referer", "http://x/"), ("User-Agent", "curl/8")), 404)
    written.request(head("/", method="HEAD"), 204, body_sent=0)
    full, bare = written.lines()
    when = r"\[24/Nov/2026:\d\d:\d\d:45 [+-]\d{4}\]"
    assert re.fullmatch(rf'127\.0\.0\.1 - - {when} "GET /a\?b=c HTTP/1\.1" 404 5 "http://x/" "curl/8"', full)
    assert re.fullmatch(rf'127\.0\.0\.1 - - {when} "HEAD / HTTP/1\.1" 204 - "-" "-"', bare)


def test_json_has_the_keys_of_the_contract_in_their_order(path: str) -> None:
    written = Written(path, format="json")
    written.request(head("/x", ("User-Agent", "u")))
    event = json.loads(written.lines()[0])
    assert tuple(event) == LOG_FIELDS == tuple(FIELDS)
    assert (event["time"], event["client"], event["target"]) == ("2026-11-24T02:27:45.123Z", "127.0.0.1", "/x")
    assert (event["status"], event["duration_ms"], event["retries"]) == (200, 0.0, 0)
    assert (event["route"], event["upstream"], event["upstream_status"], event["referer"]) == ("all", None, None, None)


def test_an_own_format_is_kept_to_the_letter(path: str) -> None:
    written = Written(path, format="ü {status} -> {route}: {duration_ms}ms {upstream_ms}")
    request = written.worker.request(head())
    written.worker.now_us += 1_002_003
    request.end(200)
    assert written.lines() == ["ü 200 -> all: 1002.003ms -"]


FORGED = st.binary(min_size=1, max_size=40).map(lambda text: bytes(byte for byte in text if byte >= 32 and byte != 127))


@settings(deadline=None)
@given(agent=FORGED, kind=st.sampled_from(["combined", "json", '"{user_agent}"']))
def test_whatever_bytes_come_it_is_one_line_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, agent: bytes, kind: str
) -> None:
    written = Written(str(tmp_path_factory.mktemp("log") / "access.log"), format=kind)
    agent = agent.strip(b" ")
    written.request(head("/", ("User-Agent", agent.decode("latin-1"))))
    (line,) = written.lines()
    assert line.isascii()
    if kind == "json":
        found = json.loads(line)["user_agent"]
        assert (found or "").encode("latin-1") == agent
        return
    quoted = re.findall(r'"((?:[^"\\]|\\x[0-9a-f]{2})*)"', line)
    assert re.sub(r'"[^"]*"', "", line).count('"') == 0
    undone = re.sub(rb"\\x(..)", lambda found: bytes([int(found[1], 16)]), quoted[-1].encode())
    assert undone == (agent or b"-")


def test_a_very_long_field_is_cut(path: str) -> None:
    written = Written(path, config={"limits": {"head": "64k", "request_line": "64k"}}, format="json")
    written.request(head("/" + "a" * 30000, ("Referer", '"' * 20000)))
    event = json.loads(written.lines()[0])
    assert (len(event["target"]), len(event["referer"])) == (4096, 4096)


def test_a_line_leaves_when_the_buffer_is_full(path: str) -> None:
    written = Written(path, format="{target} {status}", buffer=30)
    for n in range(3):
        assert Path(path).read_text() == ""
        written.request(head(f"/{n}-------"))
    assert Path(path).read_text() == "/0------- 200\n/1------- 200\n/2------- 200\n"


def test_a_full_disk_costs_lines_which_are_counted() -> None:
    written = Written("/dev/full", format="{target}", buffer=1)
    for _ in range(3):
        written.request(head())
    written.log.flush()
    assert written.dropped == 3


def small_pipe(path: str) -> int:
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
    return fd


def test_a_pipe_that_nobody_reads_costs_lines_and_none_is_cut(path: str) -> None:
    reader = small_pipe(path)
    written = Written(path, format="{target}", buffer=1000)
    targets = [f"/{n}{'x' * 1000}" for n in range(400)]
    for target in targets:
        written.request(head(target))
    assert written.dropped > 0
    got = b""
    while True:
        try:
            got += os.read(reader, 65536)
        except BlockingIOError:
            written.log.flush()
            if not select_ready(reader):
                break
    lines = got.decode().splitlines()
    assert lines == targets[:len(lines)]
    assert len(lines) + written.dropped == len(targets)
    os.close(reader)


def select_ready(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_a_reader_that_is_gone_is_no_reason_to_die(path: str) -> None:
    reader = small_pipe(path)
    written = Written(path, format="{target}", buffer=1)
    os.close(reader)
    written.request(head())
    assert written.dropped == 1


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    """The disk takes half of a line, then nothing, then all: RLIMIT_FSIZE plays the disk, in a child of its own."""
    path = str(tmp_path / "access.log")
    pid = os.fork()
    if pid == 0:
        os._exit(tear(path))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Path(path).read_text() == "/first\n/lo\n/third\n"


def tear(path: str) -> int:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = Written(path, format="{target}", buffer=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    for target in ("/first", "/longer", "/lost"):
        written.request(head(target))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    written.request(head("/third"))
    return 0 if written.dropped == 2 else 1


def test_after_a_rotation_lines_go_to_the_new_file(path: str) -> None:
    written = Written(path, format="{target}")
    written.request(head("/old"))
    os.rename(path, path + ".1")
    written.log.reopen()
    written.request(head("/new"))
    assert written.lines() == ["/new"]
    assert Path(path + ".1").read_text() == "/old\n"


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    written = Written(str(folder / "access.log"), format="{target}")
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(FileNotFoundError):
        written.log.reopen()
    written.request(head("/kept"))
    written.log.flush()
    assert (moved / "access.log").read_text() == "/kept\n"


def test_a_closed_log_gives_its_descriptor_back(path: str) -> None:
    log = AccessLog(Settings(path=path))
    before = set(os.listdir("/proc/self/fd"))
    log.close()
    log.close()
    assert len(set(os.listdir("/proc/self/fd"))) == len(before) - 1


def test_a_log_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as failure:
        open_lines(str(tmp_path / "none" / "access.log"))
    assert failure.value.errno == errno.ENOENT


def test_every_field_of_the_contract_can_be_written() -> None:
    for format in ("json", "combined", *(f"{{{name}}}" for name in LOG_FIELDS)):
        assert segments_of(format)[-1][1] == b"\n"
    assert "{apache_time}" in COMBINED
    assert loads("log: {access: {format: '{time} {client}'}}", ProxyConfig).log.access is not None
