from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hotpath.core.serve.testing import launched
from hotpath.crdt.config import TOKEN_VARIABLE, CrdtConfig
from tests.clients import Client, fetch
from tests.crdt.replicas import COMMAND, JSON, Process, serving
from tests.waiting import free_port, wait_for


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "hotpath.crdt", *arguments], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, **(env or {})})


def put(replica: Process, key: str, value: object = 1) -> str:
    answer = replica.put(f"/kv/{key}?upsert=true", json.dumps(value).encode())
    assert answer.status in (200, 201), answer.body
    return str(answer.value("lww-stamp"))


# The command line.

def test_help_names_every_flag_and_every_key_of_the_file():
    told = run("serve", "--help")
    assert told.returncode == 0
    for flag in ("--replica", "--listen", "--peer", "--data", "--bias", "--drill", "--config", "--check", "--workers",
                 "--repair"):
        assert flag in told.stdout
    words = set(re.findall(r"[a-z_]+", told.stdout))
    assert {name for name in CrdtConfig.__struct_fields__ if name not in words} == set()
    assert "demo" in run("--help").stdout
    assert "--listen" in run("demo", "--help").stdout


def test_check_says_ok_and_touches_nothing(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("replica: a\npeers: [{name: b, url: 'http://127.0.0.1:1'}]\n")
    told = run("serve", "--check", "--config", str(file), "--data", str(tmp_path / "data"))
    assert (told.returncode, told.stdout) == (0, f"{file}: ok\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("flags", "message"), [
    (["--replica", "A"], "--replica"),
    (["--bias", "both"], "--bias"),
    (["--peer", "b"], "'b' is not a peer; allowed: NAME=URL"),
    (["--peer", "B=http://h:1"], "--peer: [0].name"),
    (["--peer", "b=ftp://h:1"], "--peer: [0].url"),
    (["--peer", "a=http://h:1"], "'a' is this replica's own name"),
    (["--workers", "2"], "--workers"),
    (["--listen", "0.0.0.0:8091"], "--listen: 0.0.0.0:8091 can be reached by others, and no token is asked for"),
    (["--nothing"], "--nothing"),
    ([], "CONFIG:2: journal.fsync: 'sometimes' is not allowed; allowed: always, interval, off"),
    (["--config", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
])
def test_a_mistake_ends_with_2_and_one_line_that_says_where(tmp_path, flags, message):
    file = tmp_path / "a.yaml"
    file.write_text("" if flags else "bias: add\njournal: {fsync: sometimes}\n")
    given = [] if "--config" in flags else ["--config", str(file)]
    told = run("serve", *given, *flags, "--data", str(tmp_path / "data"), env={TOKEN_VARIABLE: ""})
    assert told.returncode == 2
    assert message.replace("CONFIG", str(file)) in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_flag_wins_over_the_file(tmp_path):
    with serving(tmp_path, "--replica", "c", "--peer", "b=http://127.0.0.1:9", config=(
            "replica: a\npeers: [{name: x, url: 'http://127.0.0.1:8'}]\n")) as replica:
        said = replica.get("/members").json()
        assert (said["self"], [member["name"] for member in said["members"]]) == ("c", ["b"])


# The data directory.

def test_a_directory_in_use_ends_with_1_and_the_pid(tmp_path):
    with serving(tmp_path) as replica:
        told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
        assert told.returncode == 1
        assert f"in use by process {replica.served.pid}" in told.stderr
        assert "Traceback" not in told.stderr
        put(replica, "k")


@pytest.mark.parametrize("flags", [["--replica", "b"], ["--bias", "remove"]])
def test_a_directory_of_another_replica_or_bias_ends_with_1(tmp_path, flags):
    with serving(tmp_path) as replica:
        put(replica, "k")
        assert replica.served.stop() == 0
    told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *flags)
    assert told.returncode == 1
    assert "belongs to replica a with bias add" in told.stderr


def test_a_damaged_journal_ends_with_1_and_its_place_and_repair_sets_it_aside(tmp_path):
    with serving(tmp_path) as replica:
        for n in range(20):
            put(replica, f"k{n}", "x" * 100)
        assert replica.served.stop() == 0
    segment = tmp_path / "data" / "journal" / "00000001.log"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    assert told.returncode == 1
    assert re.search(rf"{re.escape(str(segment))}: damaged at byte [0-9]+", told.stderr)
    with serving(tmp_path, "--repair") as replica:
        assert 0 < len(replica.get("/kv").json()["items"]) < 20
        put(replica, "after")
    assert list(segment.parent.glob("*.damaged*"))


def test_a_directory_that_cannot_be_made_ends_with_1(tmp_path):
    (tmp_path / "file").write_text("")
    told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file" / "data"))
    assert told.returncode == 1
    assert str(tmp_path / "file" / "data") in told.stderr
    assert "Traceback" not in told.stderr


def test_a_damaged_membership_ends_with_1(tmp_path):
    with serving(tmp_path) as replica:
        assert replica.served.stop() == 0
    (tmp_path / "data" / "members.json").write_text("{")
    told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    assert told.returncode == 1
    assert "members.json" in told.stderr
    assert "Traceback" not in told.stderr


# Its life.

def test_what_was_acknowledged_survives_a_kill_and_stamps_go_on_rising(tmp_path):
    acknowledged: dict[str, str] = {}
    with serving(tmp_path) as replica:
        def write(i: int) -> None:
            with Client(replica.address) as client:
                for n in range(10_000):
                    try:
                        answer = client.ask("PUT", f"/kv/{i}-{n}?upsert=true", JSON, b"1")
                    except Exception:
                        return
                    acknowledged[f"{i}-{n}"] = str(answer.value("lww-stamp"))

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(acknowledged) > 100, "some writes")
        replica.served.kill()
        for thread in threads:
            thread.join()
    with serving(tmp_path) as replica:
        for key, stamp in acknowledged.items():
            assert replica.get(f"/kv/{key}").value("lww-stamp") == stamp
        assert put(replica, "next") > max(acknowledged.values())


def test_term_drains_and_ends_with_0(tmp_path):
    with serving(tmp_path) as replica:
        put(replica, "k")
        assert replica.served.stop() == 0


def test_hup_reads_the_peers_anew(tmp_path):
    with serving(tmp_path) as replica:
        assert replica.get("/members").json()["members"] == []
        (tmp_path / "config.yaml").write_text("peers: [{name: b, url: 'http://127.0.0.1:9'}]\n")
        replica.served.signal(signal.SIGHUP)
        wait_for(lambda: [member["name"] for member in replica.get("/members").json()["members"]] == ["b"], "the peer")
        (tmp_path / "config.yaml").write_text("bias: remove\nlimits: {key: 7}\n")
        replica.served.signal(signal.SIGHUP)
        replica.served.wait_for("not changed: bias needs a restart")
        replica.served.wait_for("not changed: limits.key needs a restart")
        assert replica.get("/stats").json()["bias"] == "add"
        (tmp_path / "config.yaml").write_text("peers: nobody\n")
        replica.served.signal(signal.SIGHUP)
        replica.served.wait_for("reload failed: .*config.yaml:1: peers")
        assert replica.get("/healthz").status == 200


def test_an_upgrade_hands_the_data_over_and_refuses_no_connection(tmp_path):
    with serving(tmp_path) as replica:
        old = replica.served.pid
        put(replica, "before")
        stop = threading.Event()
        statuses: list[int] = []

        def ask() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                statuses.append(replica.put(f"/kv/k{n % 100}?upsert=true", b"1").status)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            wait_for(lambda: len(statuses) > 3, "some writes")
            replica.served.signal(signal.SIGUSR2)
            pid = int(wait_for(lambda: next(
                (pid for pid in re.findall(r"^ready: pid (\d+)", replica.served.output(), re.MULTILINE)
                 if int(pid) != old), None), "the successor"))
            written = len(statuses)
            wait_for(lambda: len(statuses) > written + 3, "writes at the successor")
        finally:
            stop.set()
            asking.join()
        assert set(statuses) <= {200, 201}
        assert replica.get("/kv/before").status == 200
        assert replica.get("/kv?limit=1000").json()["after"] is None
        os.kill(pid, signal.SIGTERM)


def test_what_is_overwritten_does_not_fill_the_disk(tmp_path):
    with serving(tmp_path, config="journal: {segment: 64k}") as replica:
        for n in range(60):
            put(replica, f"k{n % 3}", "x" * 100_000)
        wait_for(lambda: replica.get("/stats").json()["journal"]["bytes"] < 2_000_000, "a compaction")
        assert replica.served.stop() == 0
    with serving(tmp_path) as replica:
        assert len(replica.get("/kv").json()["items"]) == 3


def test_small_values_are_not_compacted_over_and_over(tmp_path):
    with serving(tmp_path, config="journal: {compact: 1.5}") as replica:
        ops = [{"op": "put", "key": f"{n:05}", "value": n} for n in range(10_000)]
        for _ in range(4):
            assert replica.post("/batch", json.dumps({"ops": ops}).encode()).status == 200

        def settled():
            # What came while the first compaction looked may well need another.
            files = list((tmp_path / "data" / "snapshot").iterdir())
            held = replica.get("/stats").json()["journal"]["bytes"]
            return [file.suffix for file in files] == [".lww"] and held < 2**20 and files

        first = wait_for(settled, "an end of compactions")
        fsyncs = replica.get("/stats").json()["journal"]["fsyncs"]
        for n in range(20):
            put(replica, f"{n:05}")
        assert list((tmp_path / "data" / "snapshot").iterdir()) == first
        assert replica.get("/stats").json()["journal"]["fsyncs"] <= fsyncs + 21


# Faults.

def test_a_full_disk_answers_503_to_writes_and_goes_on_reading(tmp_path):
    with serving(tmp_path) as replica:
        put(replica, "old", "x")
        segment = tmp_path / "data" / "journal" / "00000001.log"
        most = segment.stat().st_size + 50
        resource.prlimit(replica.served.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        for method, target, body in (("PUT", "/kv/k?upsert=true", b'"y"'), ("PUT", "/kv/l?upsert=true", b"1"),
                                     ("POST", "/kv", b'{"key":"m","value":1}'), ("DELETE", "/kv/old", None),
                                     ("POST", "/batch", b'{"ops":[{"op":"put","key":"n","value":1}]}'),
                                     ("GET", "/kv/k", None)):
            answer = replica.ask(method, target, JSON, body)
            assert (answer.status, answer.value("content-type")) == (503, "application/problem+json"), target
            assert answer.value("retry-after")
        assert replica.get("/kv/old").body == b'"x"'
        assert replica.get("/kv/l").status == 404
        assert b"hotpath_crdt_full 1" in replica.get("/metrics").body
        resource.prlimit(replica.served.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for(lambda: replica.get("/kv/k").status == 200, "the group that waited")
        put(replica, "l")
        assert replica.get("/kv/old").status == 200


def test_a_clock_ahead_of_its_peers_is_told_by_healthz(tmp_path):
    port = free_port()
    config = "clock: {offset: 60s}\nsync: {interval: 50ms}"
    with (serving(tmp_path / "a", "--peer", f"b=http://127.0.0.1:{port}", config=config) as one,
          launched([*COMMAND, "--replica", "b", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "b"),
                    "--peer", f"a=http://{one.address}"])):
        wait_for(lambda: one.get("/healthz").status == 503, "it to notice its clock")
        answer = one.put("/kv/k?upsert=true", b"1")
        assert answer.status == 503
        assert b"clock" in answer.body
        assert one.get("/kv/k").status == 404


def test_a_cell_ahead_of_the_clock_is_409_with_both_clocks(tmp_path):
    with serving(tmp_path) as replica:
        body = {"cells": [{"key": "k", "stamp": "7fff000000000000-b", "live": True, "value": 1}]}
        answer = replica.post("/sync/merge", json.dumps(body).encode())
        assert answer.status == 409
        said = answer.json()
        assert said["remote_ms"] - said["local_ms"] > 5000
        assert b'hotpath_crdt_refused_total{reason="drift"} 1' in replica.get("/metrics").body


def test_an_empty_replica_shows_nothing_before_it_has_copied(tmp_path):
    port = free_port()
    with launched([*COMMAND, "--listen", "127.0.0.1:0", "--data", str(tmp_path / "a"),
                   "--peer", f"b=http://127.0.0.1:{port}"], wait=False) as served:
        served.start()
        statuses = set()

        def healthy() -> bool:
            # In this order: it may have given its peer up between the two.
            read, health = fetch(served.address, "/kv/k").status, fetch(served.address, "/healthz").status
            statuses.add((health, read))
            return health == 200

        wait_for(healthy, "it to give its peer up")
        assert (503, 404) not in statuses
        assert fetch(served.address, "/kv/k").status == 404


# The token.

def asks(replica: Process) -> list[Callable[[list[tuple[str, str]]], int]]:
    targets = (("GET", "/kv/k", None), ("PUT", "/kv/k?upsert=true", b"1"), ("GET", "/stats", None),
               ("GET", "/metrics", None), ("POST", "/sync/merge", b'{"cells":[]}'), ("GET", "/", None),
               ("GET", "/members", None), ("GET", "/snapshot", None), ("GET", "/changes", None))
    return [lambda fields, t=target: fetch(replica.address, t[1], t[0], [*JSON, *fields], t[2]).status      # type: ignore[misc]
            for target in targets]


def test_without_the_token_only_healthz_answers(tmp_path):
    with serving(tmp_path, config="token: hush\n", token="hush") as replica:
        for ask in asks(replica):
            for wrong in ([], [("Authorization", "Bearer nope")], [("Authorization", "Basic hush")],
                          [("Authorization", "hush")], [("Authorization", "Bearer hush2")],
                          [("Authorization", "Bearer \xff")], [("Authorization", "Bearer")]):
                assert ask(wrong) == 401
        answer = fetch(replica.address, "/kv/k")
        assert answer.value("www-authenticate") == "Bearer"
        assert answer.value("content-type") == "application/problem+json"
        assert fetch(replica.address, "/healthz").status == 200
        put(replica, "k")
        for ask in asks(replica):
            assert ask([("Authorization", "bearer hush")]) in (200, 201)


def test_a_preflight_needs_no_token_and_a_refusal_is_readable_by_a_members_page(tmp_path):
    config = "token: hush\npeers: [{name: b, url: 'http://127.0.0.1:9', public: 'http://page.test'}]\n"
    with serving(tmp_path, config=config, token="hush") as replica:
        origin = [("Origin", "http://page.test")]
        answer = fetch(replica.address, "/kv/k", "OPTIONS", [*origin, ("Access-Control-Request-Method", "PUT")])
        assert (answer.status, answer.value("access-control-allow-origin")) == (204, "http://page.test")
        answer = fetch(replica.address, "/kv/k", "GET", origin)
        assert (answer.status, answer.value("access-control-allow-origin")) == (401, "http://page.test")


def test_the_token_opens_addresses_that_others_reach(tmp_path):
    with launched([*COMMAND, "--listen", "0.0.0.0:0", "--data", str(tmp_path / "data")],
                  env={**os.environ, TOKEN_VARIABLE: "hush"}) as served:
        address = f"127.0.0.1:{served.port}"
        assert fetch(address, "/kv").status == 401
        assert fetch(address, "/kv", "GET", [("Authorization", "Bearer hush")]).status == 200


# The page.

def test_the_page_comes_with_a_policy(tmp_path: Path):
    with serving(tmp_path) as replica:
        answer = replica.get("/")
        assert (answer.status, answer.value("content-type")) == (200, "text/html; charset=utf-8")
        policy = answer.value("content-security-policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for name in re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode()):
            assert not name.startswith(("/", "http"))
            assert replica.get(f"/{name}").status == 200, name
