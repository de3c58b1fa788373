"""`hotpath-shard serve` as a person runs it: real processes, real files or servers, and what ends which of them."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from hotpath.core.errors import ConfigError
from hotpath.core.serve.testing import Served, launched
from hotpath.shard import command, server
from tests.clients import Answer, Client, CutShort, fetch, request_bytes
from tests.shard.web.test_events import statuses_of, watch
from tests.shard.web.test_metrics import metrics, value_of
from tests.waiting import wait_for

COMMAND = [sys.executable, "-P", "-m", "hotpath.shard"]
JSON = [("Content-Type", "application/json")]
T = "/v1/tables"
C = "/v1/cluster"

TABLES = """
tables:
  posts:
    key: id
    columns:
      id: {type: bigint, generate: true}
      author: string(64)
      likes: {type: int, default: 0}
      created: {type: datetime, default: now}
    indexes: [[author]]
  pages:
    key: path
    columns:
      path: string(255)
      body: text?
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=90, check=False)


def written(folder: Path, text: str = "") -> Path:
    file = folder / "shard.yaml"
    file.write_text(f"cluster: tried\nshards: 2\n{text}pool: {{wait: 20s}}\n{TABLES}")
    return file


@contextmanager
def serving(file: Path, *flags: str) -> Iterator[Served]:
    with launched([*COMMAND, "serve", "--config", str(file), "--listen", "127.0.0.1:0", *flags]) as served:
        yield served


def ask(address: str, method: str, target: str, body: object = None) -> Answer:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return fetch(address, target, method, JSON if data is not None else [], data)


# The command line

@pytest.mark.parametrize(("text", "flags", "message"), [
    ("listen: 0.0.0.0:8320\n", [], "{file}:3: listen: 0.0.0.0:8320 can be reached by others, and no token is asked"),
    ("", ["--listen", "0.0.0.0:8320"], "--listen: 0.0.0.0:8320 can be reached by others"),
    ("token_file: nowhere\n", [], "{file}:3: token_file: '{folder}/nowhere' cannot be read: No such file"),
    ("token_file: empty\n", [], "{file}:3: token_file: '{folder}/empty' holds no token"),
    ("token_file: spaced\n", [], "{file}:3: token_file: '{folder}/spaced' holds no token"),
    ("", ["--workers", "0"], "--workers: '0' is not allowed"),
    ("nothing: 1\n", [], "{file}:3: nothing"),
])
def test_a_mistake_is_told_with_its_place(tmp_path, text, flags, message):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "spaced").write_text("two words\n")
    file = written(tmp_path, text)
    for check in (["--check"], []):
        given = command.arguments(["serve", "--config", str(file), *flags, *check])
        with pytest.raises(ConfigError) as refused:
            server.run(given)
        assert message.format(file=file, folder=tmp_path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "shard-data").exists()


def test_a_mistake_is_one_line_on_stderr_and_status_2(tmp_path):
    told = run("serve", "--config", str(written(tmp_path)), "--listen", "0.0.0.0:8320")
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1)


def test_check_says_ok_and_touches_nothing(tmp_path):
    file = written(tmp_path)
    told = run("serve", "--check", "--config", str(file))
    assert (told.returncode, told.stdout) == (0, f"{file}: ok\n")
    assert not (tmp_path / "shard-data").exists()


def test_without_up_a_cluster_that_is_not_there_is_refused(tmp_path):
    told = run("serve", "--config", str(written(tmp_path)), "--listen", "127.0.0.1:0", "--no-up")
    assert (told.returncode, told.stderr) == (1, "hotpath-shard serve: tried is not up: hotpath-shard up\n")
    assert not (tmp_path / "shard-data" / "s0.db").exists()


def test_shards_that_cannot_be_made_ready_end_it_with_1(tmp_path):
    (tmp_path / "shard-data").write_text("a file in the way")
    told = run("serve", "--config", str(written(tmp_path)), "--listen", "127.0.0.1:0")
    assert told.returncode == 1
    assert told.stderr.startswith("hotpath-shard serve: ")
    assert len(told.stderr.splitlines()) == 1


def test_a_token_from_a_file_opens_the_door(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with serving(written(tmp_path, "token_file: token\n")) as served:
        assert fetch(served.address, C).status == 401
        assert fetch(served.address, C, fields=[("Authorization", "Bearer s3cret")]).status == 200


# Files: a router with two workers

@pytest.fixture(scope="module")
def router(tmp_path_factory):
    folder = tmp_path_factory.mktemp("router")
    with serving(written(folder), "--workers", "2") as served:
        yield served


def test_rows_are_the_same_whichever_worker_is_asked(router):
    keys = [f"k/{n} ü" for n in range(40)]
    for key in keys:
        answer = ask(router.address, "PUT", f"{T}/pages/{quote(key, safe='')}", {"body": key})
        assert answer.status == 201
        told = ask(router.address, "GET", f"{C}/owner?table=pages&key={quote(key, safe='')}").json()
        assert answer.value("hotpath-shard") == told["owner"]
    for key in keys:
        assert ask(router.address, "GET", f"{T}/pages/{quote(key, safe='')}").json() == {"path": key, "body": key}
    listed = ask(router.address, "GET", f"{T}/pages?order=-path&limit=1000").json()
    assert [row["path"] for row in listed["rows"]] == sorted(keys, key=str.encode, reverse=True)
    assert listed["next"] is None
    asked = "&".join(f"key={quote(key, safe='')}" for key in (keys[3], "nothing", keys[1]))
    told = ask(router.address, "GET", f"{T}/pages?{asked}").json()
    assert ([row["path"] for row in told["rows"]], told["missing"]) == ([keys[3], keys[1]], ["nothing"])


def test_one_key_is_made_once_by_racing_inserts(router):
    codes: list[int] = []

    def insert() -> None:
        for n in range(25):
            codes.append(ask(router.address, "POST", f"{T}/posts", {"id": 1000 + n, "author": "a"}).status)

    threads = [threading.Thread(target=insert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201] * 25 + [409] * 75


def test_sums_are_atomic_and_bounded(router):
    ask(router.address, "PUT", f"{T}/posts/1", {"author": "a"})

    def add() -> None:
        for _ in range(25):
            assert ask(router.address, "PATCH", f"{T}/posts/1", {"likes": {"$add": 1}}).status == 204

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(router.address, "GET", f"{T}/posts/1").json()["likes"] == 100
    refused = ask(router.address, "PATCH", f"{T}/posts/1", {"likes": {"$add": 2**31 - 1}})
    assert (refused.status, refused.json()["errors"][0]["path"]) == (422, "likes")
    assert ask(router.address, "PATCH", f"{T}/posts/1", {"likes": {"$add": 1}}).status == 204
    assert ask(router.address, "PATCH", f"{T}/posts/1", {}).status == 204
    assert ask(router.address, "PATCH", f"{T}/posts/2", {}).status == 404


def test_bulks_and_aggregates(router):
    rows = [{"id": 50_000 + n, "author": f"b{n % 3}", "likes": n} for n in range(300)]
    told = ask(router.address, "POST", f"{T}/posts", [*rows, rows[0], {"author": 5}]).json()
    assert told["inserted"] == 300
    assert [(one["index"], one["status"]) for one in told["failed"]] == [(300, 409), (301, 422)]
    told = ask(router.address, "GET", f"{T}/posts?aggregate=count,sum(likes),min(id),max(author)&where.id.ge=50000"
                                      "&where.id.lt=50300").json()
    assert told == {"count": 300, "sum(likes)": sum(range(300)), "min(id)": 50_000, "max(author)": "b2"}


def test_pages_hold_each_row_once(router):
    seen, cursor = [], ""
    while True:
        query = f"where.id.ge=50000&order=author,-likes&limit=37&fields=id{cursor}"
        told = ask(router.address, "GET", f"{T}/posts?{query}").json()
        seen += [row["id"] for row in told["rows"]]
        if told["next"] is None:
            break
        cursor = f"&cursor={told['next']}"
    assert sorted(seen) == [50_000 + n for n in range(300)]
    assert len(set(seen)) == 300


def test_the_metrics_of_all_workers_are_one(router):
    before = value_of(metrics(router.address), "hotpath_shard_requests_total", table="posts", op="get", code="404")
    for _ in range(20):
        ask(router.address, "GET", f"{T}/posts/9999999")
    for _ in range(4):
        after = value_of(metrics(router.address), "hotpath_shard_requests_total", table="posts", op="get", code="404")
        assert after == before + 20


def test_a_killed_worker_is_replaced_and_nothing_is_forgotten(router):
    before = value_of(metrics(router.address), "hotpath_shard_requests_total", table="posts", op="put", code="200")
    ask(router.address, "PUT", f"{T}/posts/77", {"author": "kept"})
    old = router.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(new := router.workers()) == 2 and not set(new) & set(old), "new workers")

    def again() -> bool:
        with suppress(CutShort, ConnectionError, TimeoutError):
            return ask(router.address, "GET", f"{T}/posts/77").status == 200
        return False

    wait_for(again, "the new workers to serve")
    assert ask(router.address, "GET", f"{T}/posts/77").json()["author"] == "kept"
    ask(router.address, "PUT", f"{T}/posts/77", {"author": "kept"})
    after = value_of(metrics(router.address), "hotpath_shard_requests_total", table="posts", op="put", code="200")
    assert after == before + 1


def test_a_move_is_steered_held_and_taken_back(router):
    def steer(action: str, body: object = None) -> Answer:
        return ask(router.address, "POST", f"{C}/reshard/{action}", body)

    def state() -> str:
        return str(ask(router.address, "GET", f"{C}/reshard").json()["state"])

    before = ask(router.address, "GET", f"{T}/posts?aggregate=count").json()
    assert ask(router.address, "GET", f"{C}/reshard").status == 404
    assert steer("cancel").status == 409
    told = ask(router.address, "POST", f"{C}/shards", {"name": "s9", "rate": 1, "hold": True})
    assert (told.status, told.json()["kind"], told.json()["shard"]) == (202, "add", "s9")
    for name, status in (("s9", 409), ("s8", 409), ("meta", 422)):
        assert ask(router.address, "POST", f"{C}/shards", {"name": name}).status == status
    assert ask(router.address, "DELETE", f"{C}/shards/s1").status == 409
    assert steer("pause").json()["paused"] is True
    assert steer("complete").status == 409
    assert steer("throttle", {"rate": 0}).json()["rate"]["limit"] in (0, None)
    assert ask(router.address, "PUT", f"{T}/posts/60001", {"author": "while"}).status == 201
    assert steer("resume").json()["paused"] is False
    wait_for(lambda: state() == "verified", "the move to be verified", 60)
    # Whichever worker is asked: each looks at the map once a second.
    for _ in range(4):
        wait_for(lambda: [shard["state"] for shard in ask(router.address, "GET", C).json()["shards"]]
                 == ["active", "active", "joining"], "the worker to have the new map")
    assert steer("cancel").json()["state"] == "cancelling"
    wait_for(lambda: state() == "cancelled", "the move to be taken back", 60)
    wait_for(lambda: len(ask(router.address, "GET", C).json()["shards"]) == 2, "the worker to have the new map")
    wait_for(lambda: ask(router.address, "GET", C).json()["state"] == "stable", "the worker to say it")
    assert ask(router.address, "GET", f"{T}/posts?aggregate=count").json()["count"] == before["count"] + 1
    assert ask(router.address, "DELETE", f"{C}/shards/nothing").status == 404


# What ends, what stays

def test_rows_outlive_a_killed_router(tmp_path):
    file = written(tmp_path)
    with serving(file) as served:
        keys = [ask(served.address, "POST", f"{T}/posts", {"author": f"a{n}"}).json()["id"] for n in range(20)]
    with serving(file) as served:
        for n, key in enumerate(keys):
            assert ask(served.address, "GET", f"{T}/posts/{key}").json()["author"] == f"a{n}"
        assert ask(served.address, "POST", f"{T}/posts", {"author": "b"}).json()["id"] > max(keys)


def test_without_a_fence_rows_are_served_and_no_shard_comes_or_goes(tmp_path):
    with serving(written(tmp_path, "fence: false\n")) as served:
        for n in range(8):
            assert ask(served.address, "PUT", f"{T}/pages/p{n}", {"body": "x"}).status == 201
            assert ask(served.address, "PUT", f"{T}/pages/p{n}", {"body": "y"}).status == 200
            assert ask(served.address, "GET", f"{T}/pages/p{n}").json()["body"] == "y"
        assert ask(served.address, "GET", f"{T}/pages?aggregate=count").json() == {"count": 8}
        assert ask(served.address, "GET", C).json()["fence"] is False
        assert ask(served.address, "POST", f"{C}/shards", {"name": "s2"}).status == 409
        assert ask(served.address, "DELETE", f"{C}/shards/s1").status == 409


def test_a_drain_finishes_requests_and_ends_streams(tmp_path):
    with serving(written(tmp_path)) as served, watch(served.address) as client, Client(served.address) as slow:
        statuses = statuses_of(client)
        next(statuses)
        body = json.dumps({"author": "late"}).encode()
        slow.send(f"POST {T}/posts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                  f"\r\n\r\n".encode() + body[:5])
        assert fetch(served.address, "/healthz").status == 200
        served.signal(signal.SIGTERM)
        for _ in statuses:
            pass
        slow.send(body[5:])
        assert slow.answer().status == 201
        assert served.wait() == 0


def test_a_reload_brings_new_tables_and_keeps_the_counts(tmp_path):
    file = written(tmp_path)
    with serving(file) as served:
        assert ask(served.address, "PUT", f"{T}/pages/a", {}).status == 201
        assert ask(served.address, "PUT", f"{T}/notes/1", {"text": "x"}).status == 404
        file.write_text(file.read_text() + "  notes:\n    key: id\n    columns: {id: bigint, text: text}\n")
        served.signal(signal.SIGHUP)
        wait_for(lambda: ask(served.address, "PUT", f"{T}/notes/1", {"text": "x"}).status == 201, "the new table")
        text = metrics(served.address)
        assert value_of(text, "hotpath_shard_requests_total", table="pages", op="put", code="201") == 1
        file.write_text("cluster: other\n" + TABLES)
        served.signal(signal.SIGHUP)
        served.wait_for("reload failed: .*belongs to the cluster 'tried'")
        assert ask(served.address, "GET", f"{T}/notes/1").status == 200


def test_a_shard_is_added_while_clients_go_on(tmp_path):
    with serving(written(tmp_path), "--workers", "2") as served:
        address = served.address
        rows = [{"id": n, "author": f"a{n}"} for n in range(3000)]
        assert ask(address, "POST", f"{T}/posts", rows).json()["inserted"] == 3000
        stop, failures, written_ = threading.Event(), [], {}

        def work(worker: int) -> None:
            with Client(address) as client:
                n = 0
                while not stop.is_set():
                    n += 1
                    key = worker * 750 + n % 750
                    answer = client.ask("PATCH", f"{T}/posts/{key}", JSON, json.dumps({"likes": n}).encode())
                    if answer.status != 204:
                        failures.append((key, answer.status, answer.body))
                    written_[key] = n
                    answer = client.ask("GET", f"{T}/posts/{key}")
                    if answer.status != 200 or answer.json()["likes"] != n:
                        failures.append((key, answer.status, answer.body))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        with watch(address) as client:
            statuses = statuses_of(client)
            assert next(statuses)["state"] == "stable"
            begun = ask(address, "POST", f"{C}/shards", {"name": "s2", "rate": 2000})
            assert begun.status == 202, begun.body
            states = []
            for told in statuses:
                if told["reshard"] is not None:
                    states.append(told["reshard"]["state"])
                elif states:
                    break
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        done = ask(address, "GET", f"{C}/reshard").json()
        assert (done["state"], done["error"]) == ("done", None)
        assert done["rows"]["copied"] + done["rows"]["pulled"] == done["rows"]["total"] == done["rows"]["deleted"] > 0
        told = ask(address, "GET", C).json()
        assert [shard["name"] for shard in told["shards"]] == ["s0", "s1", "s2"]
        for key, likes in written_.items():
            assert ask(address, "GET", f"{T}/posts/{key}").json()["likes"] == likes
        assert ask(address, "GET", f"{T}/posts?aggregate=count").json() == {"count": 3000}

        def moved() -> float:
            return sum(value_of(metrics(address), "hotpath_shard_move_rows_total", source=name, target="s2")
                       for name in ("s0", "s1"))

        wait_for(lambda: moved() >= done["rows"]["copied"], "every copied row to be counted")


# Servers

@pytest.fixture(scope="module")
def on_servers(tmp_path_factory, mysqls):
    """A router over two databases, each on a server of its own; what to call a third; and which server has which."""
    places = mysqls.databases(3)
    servers = {f"s{i}": next(name for name in mysqls.names if mysqls.root(name).socket == place.socket)
               for i, place in enumerate(places)}
    text = ("backend: dsn\npool: {max: 4, connect: 3s, wait: 5s, statement: 5s}\nshards:\n"
            + "".join(f"  - {{name: s{i}, dsn: '{place}'}}\n" for i, place in enumerate(places[:2])))
    folder = tmp_path_factory.mktemp("servers")
    file = folder / "shard.yaml"
    file.write_text(f"cluster: tried\n{text}{TABLES}")
    with serving(file) as served:
        yield served, places[2], servers


def homes(address: str) -> dict[str, str]:
    """A key of each shard."""
    found: dict[str, str] = {}
    for n in range(30):
        answer = ask(address, "PUT", f"{T}/pages/p{n}", {"body": "x"})
        assert answer.status in (200, 201), answer.body
        found[answer.value("hotpath-shard")] = f"p{n}"
    return found


def shards_up(address: str) -> list[bool]:
    return [shard["up"] for shard in ask(address, "GET", C).json()["shards"]]


def test_a_dead_server_is_told_of_and_delays_nobody(on_servers, mysqls):
    served, _, servers = on_servers
    address, home = served.address, homes(served.address)
    assert set(home) == {"s0", "s1"}
    mysqls.kill(servers["s1"])
    try:
        refused = ask(address, "GET", f"{T}/pages/{home['s1']}")
        assert (refused.status, refused.json()["shard"], refused.json()["outcome"]) == (503, "s1", "none")
        assert refused.value("retry-after").isdigit()
        assert ask(address, "GET", f"{T}/pages/{home['s0']}").status == 200
        listed = ask(address, "GET", f"{T}/pages")
        assert (listed.status, listed.json()["shard"]) == (503, "s1")
        bulk = ask(address, "POST", f"{T}/pages", [{"path": f"q{n}"} for n in range(20)]).json()
        assert 0 < bulk["inserted"] < 20
        assert {(one["status"], one["shard"]) for one in bulk["failed"]} == {(503, "s1")}
        wait_for(lambda: shards_up(address) == [True, False], "the status to say it")
        assert fetch(address, "/healthz").status == 200
    finally:
        mysqls.start(servers["s1"])
    wait_for(lambda: ask(address, "GET", f"{T}/pages/{home['s1']}").status == 200, "the shard to be used again")
    wait_for(lambda: shards_up(address) == [True, True], "the status to say that")
    assert re.search(r"HAVE_CEXT=(True|False)", served.output())


def test_a_server_that_hangs_keeps_its_own_requests_and_no_others(on_servers, mysqls):
    served, _, servers = on_servers
    address, home = served.address, homes(served.address)
    with ExitStack() as closing:
        with mysqls.silent(servers["s1"]):
            stat = Path(f"/proc/{mysqls.pid(servers['s1'])}/stat")
            wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "all its threads to stop")
            waiting = [closing.enter_context(asking(address, home["s1"])) for _ in range(20)]
            for _ in range(5):
                assert ask(address, "GET", f"{T}/pages/{home['s0']}").status == 200
            wait_for(lambda: shards_up(address) == [True, False], "the status to say it")
            for client in waiting:
                answer = client.answer()
                assert (answer.status, answer.json()["shard"], answer.json()["outcome"]) == (503, "s1", "none")
        wait_for(lambda: ask(address, "GET", f"{T}/pages/{home['s1']}").status == 200, "the shard to be used again")


def asking(address: str, key: str) -> Client:
    """A client that has asked for a row, and waits."""
    client = Client(address, patience_s=30)
    client.send(request_bytes("GET", f"{T}/pages/{key}"))
    return client


def test_a_database_of_ones_own_is_added_by_its_dsn(on_servers):
    served, place, _ = on_servers
    address = served.address
    homes(address)
    before = ask(address, "GET", f"{T}/pages?aggregate=count").json()
    assert ask(address, "DELETE", f"{C}/shards/s0").status == 409       # it holds the map
    assert ask(address, "POST", f"{C}/shards", {"name": "s2"}).status == 422
    answer = ask(address, "POST", f"{C}/shards", {"name": "s2", "dsn": str(place)})
    assert answer.status == 202, answer.body
    wait_for(lambda: ask(address, "GET", f"{C}/reshard").json()["state"] == "done", "the reshard to end", 60)
    assert ask(address, "GET", f"{T}/pages?aggregate=count").json() == before
    answers = [ask(address, "GET", f"{T}/pages/p{n}") for n in range(30)]
    assert {answer.value("hotpath-shard") for answer in answers} == {"s0", "s1", "s2"}
    # Nobody is told a password.
    assert place.password not in ask(address, "GET", C).body.decode()
    assert place.password not in served.output()
