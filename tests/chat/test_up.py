"""`hotpath-chat up`: all parts find each other, are kept running where they were, and end together."""
import json
import os
import re
import signal
import stat
import subprocess
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import redis as redis_client

from hotpath.chat.parts import n_assignable
from hotpath.core.config import Address
from tests.chat.ups import CHAT, UP_WITHIN_S, ask, chat_up
from tests.waiting import DEADLINE_S, is_alive, running, wait_for
from tests.wsclient import Client, handshake


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with chat_up(tmp_path_factory.mktemp("up") / "data") as up:
        yield up


@pytest.fixture
def own_up(tmp_path):
    """One that the test may harm."""
    with chat_up(tmp_path / "data") as up:
        yield up


@contextmanager
def live(up, token, gateway=None):
    """A socket that is ready, at this gateway."""
    others = [each["id"] for each in up.where["gateways"] if each["id"] != gateway] if gateway else []

    def opened():
        # A gateway that was killed is in the API's list for a moment still, and its next process wants other tickets.
        answer = up.ask("POST", "/api/connect", {"exclude": others}, token=token)
        if answer.status != 200 or gateway not in (None, answer.body["gateway"]):
            return None
        parts = urlsplit(answer.body["url"])
        client = Client(parts.netloc)
        client.send(handshake(f"{parts.path}?ticket={answer.body['ticket']}", host=parts.netloc))
        if client.read_head().status == 101:
            return client
        client.close()
        return None

    with wait_for(opened, f"a socket at {gateway or 'any gateway'}") as client:
        assert json.loads(client.read().payload)["type"] == "hello"
        client.send_frame(1, b'{"type": "start", "epoch": null, "since": {}}')
        yield client, wait_for_frame(client, "ready")


def wait_for_frame(client, kind):
    while (frame := json.loads(client.read().payload))["type"] != kind:
        pass
    return frame


def test_run_json_says_where_everything_is(up):
    where = up.where
    assert list(where) == ["pid", "api", "gateways", "redis", "database", "epoch"]
    assert where["pid"] == up.process.pid
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", where["api"]["url"])
    assert [each["id"] for each in where["gateways"]] == ["g1", "g2"]
    assert all(re.fullmatch(r"ws://127\.0\.0\.1:\d+/ws", each["url"]) for each in where["gateways"])
    assert len({*up.pids()}) == 4
    assert all(map(is_alive, up.pids()))
    assert redis_client.Redis.from_url(where["redis"]["url"]).ping()
    assert where["database"]["url"] == f"sqlite:///{up.folder}/chat.db"
    _, token = up.user("epoch")
    assert up.ask("GET", "/api/me", token=token).body["epoch"] == where["epoch"]


def test_what_others_must_not_read_they_cannot(up):
    for name in ("run.json", "secret"):
        assert stat.S_IMODE((up.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(up.folder.stat().st_mode) == 0o700


def test_the_ready_line_names_the_addresses(up):
    where = up.where
    addresses = [urlsplit(url).netloc for url in (where["api"]["url"], *(each["url"] for each in where["gateways"]))]
    assert f"ready: pid {up.process.pid}, {', '.join(addresses)}\n" in up.process.read()


def test_a_message_reaches_a_socket_on_each_gateway(up):
    ada, ada_token = up.user("ada")
    bob, bob_token = up.user("bob")
    channel = up.ask("POST", "/api/channels", {"name": "tea", "kind": "private", "members": [bob]},
                     token=ada_token).body
    with live(up, ada_token, "g1") as (first, ready), live(up, bob_token, "g2") as (second, _):
        assert [each["id"] for each in ready["channels"]] == [channel["id"]]
        sent = up.ask("POST", f"/api/channels/{channel['id']}/messages", {"client_msg_id": "1", "text": "green"},
                      token=ada_token)
        assert sent.status == 201
        for client in (first, second):
            event = wait_for_frame(client, "event")
            assert (event["seq"], event["actor"], event["data"]["text"]) == (sent.body["seq"], ada, "green")


def test_each_gateway_answers_healthz_and_metrics(up):
    for each in up.where["gateways"]:
        address = urlsplit(each["url"]).netloc
        for path, words in (("/healthz", b"ok"), ("/metrics", b"# TYPE ")):
            status, body = get(f"http://{address}{path}")
            assert (status, words in body) == (200, True)


def get(url):
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as response:
        return response.status, response.read()


@pytest.mark.parametrize("name", ["api", "g1", "redis"])
def test_a_killed_part_is_back_where_it_was(own_up, name):
    before = own_up.where
    pids = {"api": before["api"]["pids"][0], "g1": before["gateways"][0]["pid"], "redis": before["redis"]["pid"]}
    for _ in range(3):      # also when it is killed again and again
        where = own_up.where
        pid = {"api": where["api"]["pids"][0], "g1": where["gateways"][0]["pid"], "redis": where["redis"]["pid"]}[name]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: pid not in own_up.pids() and all(map(is_alive, own_up.pids())), f"{name} in run.json")
    after = own_up.where
    assert after["api"]["url"] == before["api"]["url"]
    assert [(each["id"], each["url"]) for each in after["gateways"]] == [
        (each["id"], each["url"]) for each in before["gateways"]]
    assert after["redis"]["url"] == before["redis"]["url"]
    others = {pid for part, pid in pids.items() if part != name}
    assert others <= {*own_up.pids()}, "nobody else was started again"
    _, token = own_up.user("ada")
    with live(own_up, token, "g1"):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_sockets_with_1001_and_ends_all(tmp_path, number):
    with chat_up(tmp_path / "data") as up:
        pids = up.pids()
        _, token = up.user("ada")
        with live(up, token) as (client, _):
            os.kill(up.process.pid, number)
            _, payload = client.read_to_close()
            assert payload is not None
            assert int.from_bytes(payload[:2], "big") == 1001
        assert up.process.wait(UP_WITHIN_S) == 0
        assert not any(map(is_alive, pids))
        assert not (tmp_path / "data" / "run.json").exists()
        assert "Traceback" not in up.process.output


def test_a_killed_up_leaves_nobody_behind_and_can_be_started_again(tmp_path):
    with chat_up(tmp_path / "data") as up:
        pids = up.pids()
        _, token = up.user("ada")
        os.kill(up.process.pid, signal.SIGKILL)
        with chat_up(tmp_path / "data") as again:
            assert again.ask("GET", "/api/me", token=token).status == 200
            up.ended(pids)
            assert all(map(is_alive, again.pids()))


def test_two_do_not_share_a_directory(up):
    done = subprocess.run([*CHAT, "up", "--data", str(up.folder), "--listen", "127.0.0.1:0"], capture_output=True,
                          text=True, timeout=UP_WITHIN_S, check=False)
    assert done.returncode == 1
    assert f"{up.folder} is in use by another hotpath-chat up" in done.stderr
    assert up.where["pid"] == up.process.pid, "and the first one's run.json stays"


def test_a_taken_address_is_blamed_on_whoever_wrote_it(up, tmp_path):
    address = urlsplit(up.url).netloc
    gateway = urlsplit(up.where["gateways"][0]["url"]).netloc
    file = tmp_path / "chat.yaml"
    file.write_text(f"data: {tmp_path}/other\nlisten: {address}\n")
    by_file = subprocess.run([*CHAT, "up", "--config", str(file)], capture_output=True, text=True, timeout=UP_WITHIN_S,
                             check=False)
    assert (by_file.returncode, by_file.stderr) == (2, f"{file}:2: listen: address already in use: {address}\n")
    by_flag = subprocess.run([*CHAT, "up", "--config", str(file), "--listen", address], capture_output=True, text=True,
                             timeout=UP_WITHIN_S, check=False)
    assert (by_flag.returncode, by_flag.stderr) == (2, f"--listen: address already in use: {address}\n")
    file.write_text(f"data: {tmp_path}/other\nlisten: 127.0.0.1:0\n"
                    f"gateways:\n  listen:\n  - 127.0.0.1:0\n  - {gateway}\n")
    second = subprocess.run([*CHAT, "up", "--config", str(file)], capture_output=True, text=True, timeout=UP_WITHIN_S,
                            check=False)
    assert (second.returncode, second.stderr) == (
        2, f"{file}:6: gateways.listen[1]: address already in use: {gateway}\n")


def test_whoever_comes_right_behind_the_ready_line_gets_a_gateway(tmp_path):
    with chat_up(tmp_path / "data", "--gateways", "3") as up:
        assert n_assignable(Address.parse(urlsplit(up.url).netloc)) == 3
        _, token = up.user("ada")
        assert up.ask("POST", "/api/connect", token=token).status == 200


def test_flags_reach_the_parts(tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text("gateways: {ring: 16, count: 1}\nlimits: {text: 5}\n")
    with chat_up(tmp_path / "data", "--config", str(file), "--gateways", "3") as up:
        assert [each["id"] for each in up.where["gateways"]] == ["g1", "g2", "g3"]
        _, token = up.user("ada")
        channel = up.ask("POST", "/api/channels", {"name": "tea", "kind": "public"}, token=token).body["id"]
        refused = up.ask("POST", f"/api/channels/{channel}/messages", {"client_msg_id": "1", "text": "x" * 6},
                         token=token)
        assert refused.status == 422


def test_a_redis_of_somebody_else_is_used_and_left_alone(up, tmp_path):
    url = up.where["redis"]["url"].removesuffix("/0") + "/3"
    file = tmp_path / "chat.yaml"
    file.write_text("redis: {prefix: 'other:'}\n")
    with chat_up(tmp_path / "data", "--config", str(file), "--redis", url) as other:
        assert other.where["redis"] == {"url": url, "pid": None}
        _, token = other.user("ada")
        with live(other, token):
            pass
    assert redis_client.Redis.from_url(url).ping()


def test_parts_run_by_themselves_beside_one_that_is_up(up):
    api = [*CHAT, "api", "--data", str(up.folder), "--listen", "127.0.0.1:0"]
    gateway = [*CHAT, "gateway", "--id", "extra", "--data", str(up.folder), "--listen", "127.0.0.1:0"]
    _, token = up.user("carl")
    with running(api) as one, running(gateway) as two:
        url = "http://" + one.wait_for_output(r"^ready: pid \d+, (\S+)$", UP_WITHIN_S)[1]
        two.wait_for_output(r"^ready: pid \d+, (\S+)$", UP_WITHIN_S)
        assert ask(url, "GET", "/api/me", token=token).status == 200

        def given():
            answer = up.ask("POST", "/api/connect", {"exclude": ["g1", "g2"]}, token=token)
            return answer.body.get("gateway") == "extra"

        wait_for(given, "the third gateway in the API's list")
        for process in (one, two):
            process.popen.terminate()
            assert process.wait() == 0


def test_a_part_that_cannot_start_ends_all(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "secret").mkdir()     # a directory where a file should be
    with running([*CHAT, "up", "--data", str(folder), "--listen", "127.0.0.1:0"]) as process:
        assert process.wait(UP_WITHIN_S) == 1
        assert "cannot go on without api" in process.output


def test_several_api_processes_share_an_address_over_mariadb(mariadb, tmp_path):
    url = mariadb.new_url()
    with chat_up(tmp_path / "data", "--database", url, "--workers", "3") as up:
        assert up.where["database"]["url"] == url
        assert len({*up.where["api"]["pids"]}) == 3
        ada, token = up.user("ada")
        channel = up.ask("POST", "/api/channels", {"name": "tea", "kind": "public"}, token=token).body["id"]
        with live(up, token, "g1") as (first, _), live(up, token, "g2") as (second, _):
            # Each request is a connection of its own, so they spread over the processes.
            for n in range(12):
                sent = up.ask("POST", f"/api/channels/{channel}/messages", {"client_msg_id": f"m{n}", "text": f"{n}"},
                              token=token)
                assert (sent.status, sent.body["seq"]) == (201, n + 2)
            for client in (first, second):
                texts = [wait_for_frame(client, "event")["data"]["text"] for _ in range(12)]
                assert texts == [str(n) for n in range(12)]
        assert up.ask("GET", "/api/me", token=token).body["user"]["id"] == ada
        assert not (tmp_path / "data" / "chat.db").exists()


@pytest.fixture
def refused(tmp_path):
    """What `up` says that does not come up, and its status."""
    def refused(*flags):
        done = subprocess.run([*CHAT, "up", "--data", str(tmp_path), "--listen", "127.0.0.1:0", *flags],
                              capture_output=True, text=True, timeout=UP_WITHIN_S, check=False)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert not (tmp_path / "run.json").exists()
        return done.stderr, done.returncode
    return refused


def test_a_database_that_is_down_is_said_in_a_line(refused, port):
    words, status = refused("--database", f"mysql+mysqlconnector://root@127.0.0.1:{port}/none")
    assert status == 1
    assert words.startswith("hotpath-chat up: --database: the database cannot answer: ")


def test_a_database_that_lets_us_not_in_is_said_of_its_line(refused, mariadb, tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text(f"database:\n  url: mysql+mysqlconnector://root@127.0.0.1:{mariadb.port}/none\n")
    words, status = refused("--config", str(file))
    assert words.startswith(f"hotpath-chat up: {file}:2: database.url: the database cannot answer: 1049 (42000): ")
    assert status == 1


def test_a_file_that_is_no_database_is_left_alone(refused, tmp_path):
    (tmp_path / "chat.db").write_bytes(b"a letter to somebody" * 100)
    words, status = refused()
    assert words == f"hotpath-chat up: {tmp_path}/chat.db: the database cannot answer: file is not a database\n"
    assert status == 1
    assert (tmp_path / "chat.db").read_bytes() == b"a letter to somebody" * 100


def test_a_client_that_does_not_answer_the_close_does_not_hold_up_the_end(tmp_path):
    with chat_up(tmp_path / "data") as up:
        pids = up.pids()
        _, token = up.user("ada")
        with live(up, token), live(up, token):      # neither reads any more
            os.kill(up.process.pid, signal.SIGTERM)
            assert up.process.wait(UP_WITHIN_S) == 0
        assert not any(map(is_alive, pids))
        assert "SIGKILL" not in up.process.output


def test_a_drained_gateway_sends_its_clients_away_and_starts_anew(tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text("gateways: {drain: 500ms}\n")
    with chat_up(tmp_path / "data", "--config", str(file)) as up:
        _, token = up.user("ada")       # the first account administrates
        before = up.where["gateways"]
        with live(up, token, "g1") as (client, _):
            assert up.ask("POST", "/api/gateways/g1/drain", token=token).status == 202
            assert wait_for_frame(client, "reconnect")["after_ms"] <= 500
            _, payload = client.read_to_close()
            assert payload is not None
            assert int.from_bytes(payload[:2], "big") == 1012
        wait_for(lambda: up.where["gateways"][0]["pid"] != before[0]["pid"], "a new g1 in run.json")
        assert [each["url"] for each in up.where["gateways"]] == [each["url"] for each in before]
        assert up.where["gateways"][1] == before[1]
        with live(up, token, "g1"):
            pass


def test_a_new_epoch_is_made_when_asked_for(tmp_path):
    folder = tmp_path / "data"
    with chat_up(folder) as up:
        _, token = up.user("ada")
        old = up.where["epoch"]
    with running([*CHAT, "api", "--data", str(folder), "--listen", "127.0.0.1:0", "--new-epoch"]) as process:
        url = "http://" + process.wait_for_output(r"^ready: pid \d+, (\S+)$", UP_WITHIN_S)[1]
        new = ask(url, "GET", "/api/me", token=token).body["epoch"]
        process.popen.terminate()
        assert process.wait() == 0
    assert new != old
    with chat_up(folder) as up:
        assert up.where["epoch"] == new
