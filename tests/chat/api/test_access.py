"""One line per request, whatever its client sent, whatever the file does."""
import json
import os
import re

import pytest

from hotpath.chat.api.access import MAX_KEPT, AccessWriter
from hotpath.core.serve.config import AccessLog
from tests.waiting import wait_for

REQUEST = {"address": "10.0.0.1", "method": "GET", "target": "/a", "version": "1.1", "status": 200, "n_bytes": 5,
           "took_s": 0.25, "referer": "", "agent": ""}


def written(path, n):
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") >= n, f"{n} lines")
    return path.read_text().splitlines()


def test_a_line_is_what_others_read_too(tmp_path):
    log = AccessWriter(AccessLog(path=str(tmp_path / "log"), flush=0.01))
    log.add(**REQUEST)
    (line,) = written(tmp_path / "log", 1)
    log.stop()
    assert re.fullmatch(r'10\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a HTTP/1\.1" 200 5 "-" "-" '
                        r'0\.250000', line)


def test_nothing_that_a_client_sends_ends_a_line_or_a_field(tmp_path):
    log = AccessWriter(AccessLog(path=str(tmp_path / "log"), flush=0.01))
    log.add(**{**REQUEST, "method": "G\nE", "target": '/"\\\x1b[2J\u2028', "agent": "\xe9\x00"})
    log.stop()
    (line,) = written(tmp_path / "log", 1)
    assert r'"G\x0aE /\x22\x5c\x1b[2J\x2028 HTTP/1.1"' in line
    assert line.endswith(r'"\xe9\x00" 0.250000')


def test_as_json_a_line_is_an_object(tmp_path):
    log = AccessWriter(AccessLog(path=str(tmp_path / "log"), format="json", flush=0.01))
    log.add(**{**REQUEST, "target": '/"\n'})
    log.stop()
    (line,) = written(tmp_path / "log", 1)
    said = json.loads(line)
    assert (said["target"], said["status"], said["seconds"]) == ('/"\n', 200, 0.25)


def test_a_pipe_that_nobody_reads_costs_lines_and_holds_nobody_up(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessWriter(AccessLog(path=str(path), buffer=4096, flush=0.01))
    n = 0
    while not log.dropped:
        log.add(**{**REQUEST, "target": "/" + "x" * 1000})
        n += 1
        assert n < 100 * MAX_KEPT
    os.close(reader)
    log.stop()


@pytest.mark.parametrize("path", ["/nowhere/at/all", "/"])
def test_a_log_that_cannot_be_opened_is_said_at_once(path):
    with pytest.raises(OSError, match=r"."):
        AccessWriter(AccessLog(path=path))
