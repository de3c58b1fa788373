"""The command: what it is told, what it keeps, and who may ask."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hotpath.locking.config import TOKEN_VARIABLE, LockingConfig
from hotpath.locking.web.counts import POLICIES
from tests.clients import Client
from tests.locking.databases import BACKENDS
from tests.locking.web.servers import Server, asked, conditions, configured, healthy, problem_of, serving
from tests.waiting import free_port, wait_for


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "hotpath.locking", *arguments], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, TOKEN_VARIABLE: "", **(env or {})})


# The command line.

def test_help_names_every_flag_and_every_key_of_the_file():
    told = run("serve", "--help")
    assert told.returncode == 0
    for flag in ("--listen", "--data", "--url", "--config", "--check", "--workers"):
        assert flag in told.stdout
    words = set(re.findall(r"[a-z_]+", told.stdout))
    assert {name for name in LockingConfig.__struct_fields__ if name not in words} == set()


def test_check_says_ok_and_touches_nothing(tmp_path):
    told = run("serve", "--check", *configured(tmp_path, "pool: 2\n"), "--data", str(tmp_path / "data"))
    assert (told.returncode, told.stdout) == (0, f"{tmp_path / 'locking.yaml'}: ok\n")
    assert not (tmp_path / "data").exists()
    # Nobody listens there.
    assert run("serve", "--check", "--url", "postgresql://a:b@127.0.0.1:1/d").returncode == 0


@pytest.mark.parametrize(("flags", "message"), [
    (["--url", "nonsense"], "--url: "),
    (["--url", "oracle://h/d"], "--url: oracle is not supported; allowed: "),
    (["--url", "mysql+pymysql://h/d"], "--url: the driver pymysql is not supported"),
    (["--url", "sqlite://"], "--url: each worker would have a database in memory of its own"),
    (["--url", "sqlite:///:memory:"], "--url: each worker would have"),
    (["--url", "sqlite:////nowhere/at/all.db"], "--url: sqlite:////nowhere/at/all.db"),
    (["--url", "postgresql+psycopg://ann:s3cret@127.0.0.1:1/d"], "--url: "),
    (["--url", "mysql+mysqlconnector://ann:s3cret@127.0.0.1:1/d"], "--url: "),
    (["--data", "/dev/null/data"], "--data: '/dev/null/data' cannot be made"),
    (["--listen", "0.0.0.0:8090"], "--listen: 0.0.0.0:8090 can be reached by others, and no token is asked for"),
    (["--listen", "x"], "--listen"),
    (["--workers", "0"], "--workers"),
    (["--nothing"], "--nothing"),
    ([], "CONFIG:2: pool: 0 is not allowed"),
])
def test_a_mistake_ends_with_2_and_one_line_that_says_where(tmp_path, flags, message):
    config = configured(tmp_path, "" if flags else "data: d\npool: 0\n")
    listen = [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
    data = [] if "--data" in flags else ["--data", str(tmp_path / "data")]
    told = run("serve", *config, *flags, *listen, *data)
    assert told.returncode == 2
    assert message.replace("CONFIG", str(tmp_path / "locking.yaml")) in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert "s3cret" not in told.stderr


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "locking.db").write_text("no database, whatever its name says\n" * 100)
    told = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path))
    assert told.returncode == 2
    assert re.fullmatch(r"--data: .*locking\.db.*not a database.*\n", told.stderr)


# Its life.

def test_term_drains_and_ends_with_0(tmp_path):
    with serving("--data", str(tmp_path)) as server:
        server.item()
        assert server.served.stop() == 0
        assert "Traceback" not in server.served.output()


def test_what_it_keeps_is_there_when_it_is_started_again(tmp_path):
    with serving("--data", str(tmp_path)) as server:
        item, gone = server.item("a", "b"), server.item()
        token = server.lock(item, ttl=3600)
        server.delete(gone)
        server.increment("c", "atomic")
        assert server.served.stop() == 0
    with serving("--data", str(tmp_path)) as server:
        assert server.get(item).json()["lock"]["owner"] == "ann"
        problem_of(server.put(item), 423)
        assert server.put(item, '"v1"', token).status == 200
        assert server.value("c") == 1
        assert server.item() not in (item, gone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_acknowledged_is_there_behind_a_kill(backend, url):
    """Items, changes of them, and increments: whatever was answered with success stands."""
    made: dict[str, str] = {}
    increments: list[int] = []
    unknown: list[str] = []

    def keep(write: Callable[[Client], None]) -> None:
        with Client(server.address, patience_s=60) as client:
            try:
                while True:
                    write(client)
            except Exception as error:
                unknown.append(repr(error))      # cut off: it may stand or not

    def make(client: Client) -> None:
        answer = asked(client, "POST", "/items", {"title": "t", "body": "1"})
        item = answer.value("location")
        assert answer.status == 201
        made[item] = "1"
        answer = asked(client, "PUT", item, {"title": "t", "body": "2"}, conditions('"v1"', None))
        assert answer.status == 200
        made[item] = "2"

    def increment(client: Client) -> None:
        answer = asked(client, "POST", "/counters/c/increment?policy=pessimistic")
        assert answer.status == 200
        increments.append(answer.json()["value"])

    with serving("--url", url) as server:
        threads = [threading.Thread(target=keep, args=(write,)) for write in (make, make, increment, increment)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(made) > 50 and len(increments) > 50, "some writes")
        server.served.kill()
        for thread in threads:
            thread.join()
    assert len(unknown) == len(threads)
    with serving("--url", url) as server:
        items = {f"/items/{item['id']}": item["body"] for item in server.get("/items").json()["items"]}
        assert {item: items.get(item) for item in made if items.get(item, "") < made[item]} == {}
        assert len(set(increments)) == len(increments)
        assert max(increments) <= server.value("c") <= len(increments) + 2


def test_a_worker_that_dies_takes_nothing_along(tmp_path):
    with serving("--data", str(tmp_path)) as server:
        before = server.served.workers()
        for _ in range(10):
            server.increment("c", "optimistic")
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(now := server.served.workers()) == 2 and before[0] not in now, "another worker")
        healthy(server)
        for _ in range(10):
            server.increment("c", "optimistic")
        assert server.value("c") == 20
        assert server.metrics()['hotpath_locking_commits_total{work="counters",policy="optimistic"}'] == 22


def test_a_reload_goes_on_with_what_was_counted(tmp_path):
    data = ["--data", str(tmp_path)]
    with serving(*configured(tmp_path, "pool: 2\n"), *data) as server:
        old = server.served.workers()
        server.increment("c", "atomic")
        configured(tmp_path, "pool: 3\n")
        server.served.signal(signal.SIGHUP)
        wait_for(lambda: not set(old) & set(server.served.workers()), "new workers")
        assert server.increment("c", "atomic").json()["value"] == 2
        assert server.metrics()['hotpath_locking_commits_total{work="counters",policy="atomic"}'] == 3
        configured(tmp_path, "url: nonsense\n")
        server.served.signal(signal.SIGHUP)
        server.served.wait_for("reload failed: url: ")
        assert server.increment("c", "atomic").json()["value"] == 3


def test_what_all_workers_did_is_counted(served):
    """Each request is asked of whichever worker takes it, and the sums are exact."""
    before = served.metrics()
    for policy in POLICIES:
        for _ in range(5):
            served.increment("counted", policy)
    item = served.item()
    problem_of(served.put(item, '"v7"'), 412)
    after = served.metrics()

    def grown(family: str, work: str, policy: str) -> float:
        name = f'hotpath_locking_{family}_total{{work="{work}",policy="{policy}"}}'
        return after[name] - before[name]

    for policy in POLICIES[1:]:
        assert grown("commits", "counters", policy) == 5
    # The first made the counter; the attempt before found none.
    assert grown("commits", "counters", "naive") == 6
    assert grown("attempts", "counters", "naive") == 7
    assert grown("locked_attempts", "counters", "pessimistic") == 5
    assert grown("commits", "items", "pessimistic") == 1
    assert grown("attempts", "items", "pessimistic") == 2
    assert grown("gave_up", "counters", "optimistic") == 0
    assert "hotpath_locking_wasted_seconds_total" in "".join(after)


# Who may ask.

@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("guarded")
    with serving(*configured(folder, "token: s3cret\n"), "--data", str(folder), workers=1) as server:
        yield server


@pytest.mark.parametrize(("method", "target"), [
    ("GET", "/items"), ("POST", "/items"), ("GET", "/items/1"), ("DELETE", "/items/1"), ("POST", "/items/1/lock"),
    ("GET", "/counters/c"), ("POST", "/counters/c/increment?policy=atomic"), ("GET", "/scenarios"),
    ("POST", "/scenarios/lost-update?policy=naive"), ("GET", "/metrics")])
def test_without_the_token_nothing_is_told_or_done(guarded, method, target):
    for fields in ([], [("Authorization", "Bearer wrong")], [("Authorization", "Basic s3cret")]):
        answer = guarded.ask(method, target, None, fields)
        problem_of(answer, 401)
        assert answer.value("www-authenticate").startswith("Bearer")
    right = guarded.ask(method, target, None, [("Authorization", "Bearer s3cret")])
    assert right.status not in (401, 403)


def test_health_the_page_and_the_studies_need_no_token(guarded):
    for target in ("/healthz", "/", "/main.js", "/study/index.json"):
        assert guarded.get(target).status == 200


def test_with_a_token_others_may_reach_it(tmp_path):
    port = free_port()
    with serving(*configured(tmp_path, "token: s3cret\n"), "--data", str(tmp_path), workers=1,
                 listen=f"0.0.0.0:{port}") as server:
        problem_of(server.get("/items"), 401)
    env = {**os.environ, TOKEN_VARIABLE: "of-the-environment"}
    with serving("--data", str(tmp_path), workers=1, listen=f"0.0.0.0:{port}", env=env) as server:
        assert server.get("/items", ("Authorization", "Bearer of-the-environment")).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
def test_a_page_of_another_origin_changes_nothing(small: Server, origin):
    before = small.value("foreign")
    for method, target in (("POST", "/counters/foreign/increment?policy=atomic"), ("POST", "/items"),
                           ("POST", "/scenarios/lost-update?policy=naive"), ("DELETE", "/items/1")):
        problem_of(small.ask(method, target, None, [("Origin", origin)]), 403)
    assert small.value("foreign") == before


def test_our_own_page_may(small: Server):
    with Client(small.address) as client:
        answer = client.ask("POST", "/counters/own/increment?policy=atomic", [("Origin", f"http://{small.address}")],
                            host=small.address)
    assert answer.status == 200
