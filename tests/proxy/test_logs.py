"""One line per request, whoever asked and whatever came of it, and no line that a client wrote."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, Exchange
from tests.clients import Client, fetch, request_bytes
from tests.proxies import Proxy
from tests.waiting import wait_for

KEYS = {
    *("time", "client", "method", "target", "protocol", "status", "bytes_sent", "bytes_received", "duration_ms"),
    *("host", "route", "upstream", "upstream_status", "upstream_ms", "retries", "referer", "user_agent"),
}

COMBINED = re.compile(
    r"(?P<client>\S+) - (?P<user>\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)

EVIL = "\\ \" \t' x"


def lines_of(file: Path, n: int) -> list[str]:
    """The lines of a log, once there are `n`."""
    wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= n, f"{n} lines in {file.name}")
    text = file.read_bytes().decode("utf-8", "strict")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def start(file: Path | str, form: str, backend: Backend, more: Mapping[str, Any] | None = None) -> Proxy:
    return Proxy(
        {
            "log": {"access": {"path": str(file), "format": form, "flush": "50ms"}},
            "timeouts": {"head": "2s"},
            "upstreams": {"b": {"servers": [backend.address]}},
            "routes": [
                {"name": "canned", "match": {"path": "/canned"}, "respond": {"body": "hello"}},
                {"match": {"prefix": "/"}, "upstream": "b"},
            ],
            **(more or {}),
        }
    )


@pytest.fixture(scope="module")
def as_json(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Path]]:
    file = tmp_path_factory.mktemp("log") / "access.json"
    with start(file, "json", backend) as proxy:
        yield proxy, file


def entry(log: tuple[Proxy, Path], mark: str) -> dict[str, Any]:
    """The one JSON line whose target or user agent contains `mark`."""
    file = log[1]
    found = wait_for(
        lambda: file.exists() and [line for line in file.read_text().splitlines() if mark in line], f"a line {mark}"
    )
    assert isinstance(found, list)
    assert len(found) == 1
    line: dict[str, Any] = json.loads(found[0])
    return line


def test_json_tells_all_about_a_forwarded_request(as_json: tuple[Proxy, Path], backend: Backend) -> None:
    proxy, _file = as_json
    backend.on("/json/all", lambda exchange: exchange.answer(b"created", status=201))
    fields = [("User-Agent", "tester/1"), ("Referer", "http://from.example/")]
    fetch(proxy.address, "/json/all?q=1", "POST", fields, b"body", host="json.example")
    line = entry(as_json, "/json/all")
    assert set(line) == KEYS
    expected = {
        "client": "127.0.0.1",
        "method": "POST",
        "target": "/json/all?q=1",
        "protocol": "HTTP/1.1",
        "status": 201,
        "host": "json.example",
        "route": "route-2",
        "upstream": backend.address,
        "upstream_status": 201,
        "retries": 0,
        "referer": "http://from.example/",
        "user_agent": "tester/1",
    }
    assert {key: line[key] for key in expected} == expected
    assert line["bytes_sent"] >= 7
    assert line["bytes_received"] >= 4
    assert line["duration_ms"] >= line["upstream_ms"] >= 0
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line["time"])


def test_an_answer_of_our_own_names_no_upstream(as_json: tuple[Proxy, Path]) -> None:
    fetch(as_json[0].address, "/canned", fields=[("User-Agent", "own answer")])
    line = entry(as_json, "own answer")
    assert set(line) == KEYS
    assert (line["route"], line["status"]) == ("canned", 200)
    assert line["upstream"] in (None, "", "-")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /refused/400 HTTP/1.1\r\nHost: test\r\nX : y\r\n\r\n", 400),
        (b"GET /refused/505 HTTP/3.0\r\nHost: test\r\n\r\n", 505),
        (b"GET /refused/408 HTTP/1.1\r\nHost: t", 408),
        (b"GET /refused/431 HTTP/1.1\r\nHost: test\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"garbage\r\n\r\n", 400),
    ],
    ids=["400", "505", "408", "431", "garbage"],
)
def test_a_refused_request_has_its_line_too(as_json: tuple[Proxy, Path], raw: bytes, status: int) -> None:
    proxy, file = as_json

    def refusals() -> int:
        lines = file.read_text().splitlines() if file.exists() else []
        return sum(json.loads(line)["status"] == status for line in lines)

    before = refusals()
    with Client(proxy.address) as client:
        client.send(raw)
        assert client.answer().status == status
    wait_for(lambda: refusals() == before + 1, f"a line with {status}")
    line = [json.loads(text) for text in file.read_text().splitlines()][-1]
    assert 0 < line["bytes_received"] <= len(raw)


def test_json_survives_what_clients_send(as_json: tuple[Proxy, Path]) -> None:
    fields = [("User-Agent", f"json-evil {EVIL} \xe9\xff"), ("Referer", '","status":200,"x":"')]
    fetch(as_json[0].address, "/evil?\"'&'\"", fields=fields)
    line = entry(as_json, "json-evil")
    assert set(line) == KEYS
    assert line["target"] == "/evil?\"'&'\""
    assert line["referer"] == '","status":200,"x":"'
    assert line["user_agent"].startswith(f"json-evil {EVIL}")


def test_retries_and_the_last_server_are_told(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    with Backend(Exchange.reset) as bad:
        servers = {"servers": [bad.address, {"address": backend.address, "backup": True}], "passive": {"failures": 0}}
        with start(file, "json", backend, {"upstreams": {"b": servers}}) as proxy:
            fetch(proxy.address, "/retried")
            (line,) = map(json.loads, lines_of(file, 1))
    assert (line["retries"], line["upstream"], line["status"]) == (1, backend.address, 200)


def test_a_connection_that_asks_nothing_leaves_no_line(as_json: tuple[Proxy, Path]) -> None:
    proxy, file = as_json
    Client(proxy.address).close()
    fetch(proxy.address, "/canned", fields=[("User-Agent", "after silence")])
    entry(as_json, "after silence")
    assert all(json.loads(line)["status"] for line in file.read_text().splitlines())


def test_an_aborted_answer_is_logged_once(as_json: tuple[Proxy, Path], backend: Backend) -> None:
    def die(exchange: Exchange) -> None:
        exchange.body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.reset()

    backend.on("/json/dies", die)
    with Client(as_json[0].address) as client:
        client.send(request_bytes("GET", "/json/dies"))
        client.rest()
    assert entry(as_json, "/json/dies")["upstream"] == backend.address


def silence(exchange: Exchange) -> None:
    exchange.await_close()


@pytest.mark.parametrize(("path", "then", "cause"), [
    ("/closes", Exchange.close, "the server closed the connection"),
    ("/resets", Exchange.reset, "the server closed the connection"),
    ("/babbles", lambda exchange: exchange.send(b"no size\r\n"), "the server's body is malformed"),
    ("/rests", silence, "the server took too long"),
], ids=["closed", "reset", "malformed", "slow"])
def test_a_server_that_fails_inside_its_answer_has_a_line_in_the_error_log(
    backend: Backend, tmp_path: Path, path: str, then: Callable[[Exchange], None], cause: str
) -> None:
    begun = threading.Event()

    def fail(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        begun.wait(10)
        then(exchange)

    backend.on(path, fail)
    read = "200ms" if then is silence else "60s"
    with start(tmp_path / "x", "json", backend, {"timeouts": {"read": read}}) as proxy, \
            Client(proxy.address) as client:
        client.send(request_bytes("GET", path))
        events = client.events()
        next(events)
        next(events)
        begun.set()
        with pytest.raises(EOFError):
            list(events)
        line = proxy.stderr.wait_for("answer broken off")
        told = f"upstream=b server={backend.address} route=route-2 status=200 body_sent=4 cause={cause}"
        assert line.endswith(f"WARNING hotpath.proxy.attempt answer broken off {told}")


def test_combined_is_apaches(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    with start(file, "combined", backend) as proxy:
        fetch(proxy.address, "/canned", fields=[("User-Agent", "tester/1"), ("Referer", "http://from.example/")])
        fetch(proxy.address, '/evil?"', fields=[("User-Agent", f"{EVIL}\xe9"), ("Referer", '" 200 5 "x" "y')])
        with Client(proxy.address) as client:
            client.send(b"GET /x\x00\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n")
            client.rest()
        fetch(proxy.address, "/none-of-these", fields=[])
        lines = lines_of(file, 4)
    matches = [COMBINED.fullmatch(line) for line in lines]
    assert all(matches), lines
    first, evil, control, _last = (match.groupdict() for match in matches if match)
    assert first == {
        "client": "127.0.0.1",
        "user": "-",
        "request": "GET /canned HTTP/1.1",
        "status": "200",
        "size": first["size"],
        "referer": "http://from.example/",
        "agent": "tester/1",
    }
    assert int(first["size"]) >= 5
    assert evil["status"] == "200"
    assert (control["request"], control["status"]) == ("-", "400")      # as Apache's, for a head that is none
    assert len(lines) == 4
    assert all(byte >= 0x20 for line in lines for byte in line.encode())


def test_an_own_format_is_followed(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    form = (
        '{client} "{method} {target} {protocol}" {status} {host} {route} '
        "{upstream} {upstream_status} {retries} <{user_agent}>"
    )
    with start(file, form, backend) as proxy:
        fetch(proxy.address, "/own?x", fields=[("User-Agent", 'a"b')], host="own.example")
        (line,) = lines_of(file, 1)
    start_, _, agent = line.partition("<")
    assert start_ == f'127.0.0.1 "GET /own?x HTTP/1.1" 200 own.example route-2 {backend.address} 200 0 '
    assert '"' not in agent.replace('\\"', "").replace("\\x22", "")


def test_a_dash_is_standard_output(backend: Backend) -> None:
    with start("-", "{method} {target} {status}", backend) as proxy:
        fetch(proxy.address, "/canned")
        assert proxy.stdout.wait_for("/canned") == "GET /canned 200"


def test_off_is_silent(backend: Backend) -> None:
    with start("-", "json", backend, {"log": {"access": "off"}}) as proxy:
        fetch(proxy.address, "/canned")
        proxy.stop()
        wait_for(lambda: proxy.stdout.ended, "the end of the output")
        assert proxy.stdout.lines == []


def test_a_rotated_log_is_reopened_on_usr1_and_no_line_is_lost(backend: Backend, tmp_path: Path) -> None:
    file, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with start(file, "{target}", backend, {"workers": 2}) as proxy:
        n = 0
        for target in ("/before", "/after"):
            for i in range(20):
                fetch(proxy.address, f"{target}/{i}")
                n += 1
            if target == "/before":
                file.rename(old)
                fetch(proxy.address, "/between")
                proxy.send_signal(signal.SIGUSR1)
                wait_for(file.exists, "the new file")

        def count() -> int:
            return sum(f.read_text().count("\n") for f in (file, old))

        wait_for(lambda: count() == n + 1, "all lines")
        assert "/before/0\n" in old.read_text()

        def reopened() -> bool:
            fetch(proxy.address, "/late")
            return file.read_text().count("/late") >= 3

        wait_for(reopened, "both workers to write to the new file")


def test_lines_leave_when_the_proxy_stops(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    lazy = {"log": {"access": {"path": str(file), "format": "{target}", "flush": "1h"}}}
    with start(file, "json", backend, lazy) as proxy:
        for i in range(10):
            fetch(proxy.address, f"/{i}")
        assert proxy.stop() == 0
    assert file.read_text().splitlines() == [f"/{i}" for i in range(10)]


def test_a_long_line_is_still_one_line(as_json: tuple[Proxy, Path]) -> None:
    agent = "long" * 5000
    fetch(as_json[0].address, "/long/line", fields=[("User-Agent", agent)])
    line = entry(as_json, "/long/line")
    assert line["user_agent"].startswith("long")
