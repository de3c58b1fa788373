"""The process: how it starts, ends, and stands what its neighbours do."""
import signal
import socket
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPException

import msgspec
import pytest

from hotpath.core.config import Address, Rate, dump
from hotpath.core.serve.config import AccessLog, ErrorLog, Log
from tests.chat.api.serving import SERVE, Api, make_config, raw, running_redis, serving, stopped
from tests.mariadb import missing, running_mariadb
from tests.waiting import DEADLINE_S, free_port, running, wait_for, wait_for_port

# On a listening socket that it is handed.
HANDED = SERVE.replace("ChatConfig), ", "ChatConfig), listen=socket.socket(fileno=int(sys.argv[2])), ").replace(
    "import sys", "import socket, sys")
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_sigterm_ends_it_cleanly_and_what_was_stored_is_there_again(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    with serving(config) as api:
        ann = api.person("ann")
        sent = ann.send(ann.channel())
        epoch = ann.get("/api/me").json()["epoch"]
        assert stopped(api) == 0
    with serving(config) as api:
        again = api.caller(ann.token)
        assert again.get("/api/me").json() == {"user": ann.user, "epoch": epoch}
        assert again.get(f"/api/channels/{sent['channel']}/messages").json()["messages"] == [sent]


def test_a_restored_database_is_another_history(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    with serving(config) as api:
        ann = api.person("ann")
        epoch = ann.get("/api/me").json()["epoch"]
    with serving(config, "--new-epoch") as api:
        assert api.caller(ann.token).get("/api/me").json()["epoch"] != epoch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_connection_does_not_hold_the_end_up(redis_url, tmp_path, number):
    with serving(make_config(tmp_path, redis_url)) as api, socket.create_connection(("127.0.0.1", api.port)) as idle:
        idle.sendall(GET)
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        api.process.popen.send_signal(number)
        assert api.process.wait() == 0
        assert idle.recv(1000) == b""


def test_what_is_under_way_is_finished_first(redis_url, tmp_path):
    """A write waits for somebody else's lock while the server is told to stop."""
    config = make_config(tmp_path, redis_url)
    with serving(config) as api, ThreadPoolExecutor() as pool:
        ann = api.person("ann")
        channel = ann.channel()
        with closing(sqlite3.connect(tmp_path / "data" / "chat.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            sending = pool.submit(ann.post, f"/api/channels/{channel}/messages", {"client_msg_id": "a", "text": "x"})
            wait_for(lambda: metric(api, "chat_api_connections_busy") >= 2, "the request to be under way")
            api.process.popen.send_signal(signal.SIGTERM)
            api.process.wait_for_output("stopping")
            lock.execute("ROLLBACK")
        answer = sending.result(DEADLINE_S)
        assert answer.status == 201
        assert answer.fields["connection"] == "close"
        assert api.process.wait() == 0


def metric(api, name):
    text = api.caller().get("/metrics").body.decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_an_address_that_is_taken_is_said(redis_url, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = make_config(tmp_path, redis_url, listen=(Address("127.0.0.1", taken.getsockname()[1]),))
        file = tmp_path / "c.yaml"
        file.write_text(dump(config))
        with running([sys.executable, "-P", "-c", SERVE, str(file)]) as process:
            assert process.wait() != 0
            assert "address already in use" in process.output


def test_a_database_that_is_not_there_is_said_and_the_process_ends(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url, f"mysql+mysqlconnector://root@127.0.0.1:{free_port()}/chat")
    file = tmp_path / "c.yaml"
    file.write_text(dump(config))
    with running([sys.executable, "-P", "-c", SERVE, str(file)]) as process:
        assert process.wait() == 1
        assert "not started cause=" in process.output
        assert "Traceback" not in process.output


def test_it_serves_on_a_socket_that_it_is_handed(redis_url, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(dump(make_config(tmp_path, redis_url)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        with running([sys.executable, "-P", "-c", HANDED, str(file), str(listener.fileno())],
                     pass_fds=[listener.fileno()]) as process:
            process.wait_for_output(rf"^ready: pid {process.pid}, 127\.0\.0\.1:{port}$")
            assert raw(port, GET).startswith(b"HTTP/1.1 200")


def test_several_processes_share_a_socket_and_a_database(redis_url, tmp_path):
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as server, ThreadPoolExecutor(16) as pool:
        config = make_config(tmp_path, redis_url, server.new_url(), workers=2)
        file = tmp_path / "c.yaml"
        file.write_text(dump(config))
        with socket.create_server(("127.0.0.1", 0), backlog=500) as listener, ExitStack() as stack:
            listener.setblocking(False)
            processes = [stack.enter_context(running(
                [sys.executable, "-P", "-c", HANDED, str(file), str(listener.fileno())], pass_fds=[listener.fileno()]))
                for _ in range(2)]
            for process in processes:
                process.wait_for_output(r"^ready: ")
            api = Api(processes[0], config, listener.getsockname()[1])
            ann = api.person("ann")
            channel = ann.channel()

            def send(worker):
                # A connection each: the kernel gives them to either process.
                return [api.caller(ann.token).send(channel, f"{worker} {i}")["seq"] for i in range(5)]

            assert sorted(seq for part in pool.map(send, range(16)) for seq in part) == list(range(2, 82))
            ann.post("/api/logout")
            # The other process remembers the session for a second at most.
            wait_for(lambda: all(api.caller(ann.token).get("/api/me").status == 401 for _ in range(20)), "both to obey")


# -------------------------------------------------------------------------------------------- neighbours


def test_a_short_lock_only_delays_and_nobody_else_waits(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    config = msgspec.structs.replace(config, database=msgspec.structs.replace(config.database, busy=DEADLINE_S))
    with serving(config) as api, ThreadPoolExecutor() as pool:
        ann, other = api.person("ann"), api.caller()
        channel = ann.channel()
        other.token = ann.token
        ann.send(channel)
        with closing(sqlite3.connect(tmp_path / "data" / "chat.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            sending = pool.submit(ann.post, f"/api/channels/{channel}/messages", {"client_msg_id": "a", "text": "x"})
            wait_for(lambda: metric(api, "chat_api_connections_busy") >= 2, "the write to wait")
            # Reads and /healthz go on.
            for _ in range(20):
                assert other.get("/healthz").status == 200
                assert len(other.get(f"/api/channels/{channel}/messages").json()["messages"]) == 1
                assert other.get("/api/me").status == 200
            assert not sending.done()
            lock.execute("ROLLBACK")
        assert sending.result(DEADLINE_S).status == 201


def test_a_long_lock_is_503_with_nothing_stored(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    config = msgspec.structs.replace(config, database=msgspec.structs.replace(config.database, busy=0.2))
    with serving(config) as api:
        ann = api.person("ann")
        channel = ann.channel()
        body = {"client_msg_id": "a", "text": "x"}
        with closing(sqlite3.connect(tmp_path / "data" / "chat.db", isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            answer = ann.post(f"/api/channels/{channel}/messages", body)
            assert answer.status == 503
            answer.problem()
            assert int(answer.fields["retry-after"]) >= 1
            lock.execute("ROLLBACK")
        assert ann.get(f"/api/channels/{channel}/messages").json()["messages"] == []
        assert ann.post(f"/api/channels/{channel}/messages", body).status == 201


def test_a_killed_database_is_503_and_back_by_itself(redis_url, tmp_path):
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as server:
        config = make_config(tmp_path, redis_url, server.new_url())
        config = msgspec.structs.replace(config, database=msgspec.structs.replace(config.database, busy=0.5))
        with serving(config) as api:
            ann = api.person("ann")
            channel = ann.channel()
            first = ann.send(channel)
            server.kill()
            body = {"client_msg_id": "a", "text": "x"}
            for _ in range(3):
                answer = ann.post(f"/api/channels/{channel}/messages", body)
                assert answer.status == 503
                assert int(answer.fields["retry-after"]) >= 1
                assert ann.get(f"/api/channels/{channel}/messages").status == 503
                assert api.caller().post("/api/login", {"name": "ann", "password": "x"}).status == 503
                assert ann.get("/healthz").status == 200
            server.start()
            wait_for(lambda: ann.post(f"/api/channels/{channel}/messages", body).status in (200, 201), "it to be back")
            assert ann.post(f"/api/channels/{channel}/messages", body).status == 200
            shown = ann.get(f"/api/channels/{channel}/messages").json()["messages"]
            assert [message["id"] for message in shown[:1]] == [first["id"]]
            assert len(shown) == 2


def test_a_silent_database_holds_up_only_those_who_ask_it(redis_url, tmp_path):
    if why := missing():
        pytest.skip(why)
    with (running_mariadb() as server, ThreadPoolExecutor() as pool,
          serving(make_config(tmp_path, redis_url, server.new_url())) as api):
        ann = api.person("ann")
        channel = ann.channel()
        other = api.caller(ann.token)
        ann.send(channel)
        server.signal(signal.SIGSTOP)
        sending = pool.submit(ann.post, f"/api/channels/{channel}/messages", {"client_msg_id": "a", "text": "x"})
        for _ in range(20):
            assert other.get("/healthz").status == 200
            assert other.get("/metrics").status == 200
        server.signal(signal.SIGCONT)
        assert sending.result(30).status in (201, 503)


def test_without_redis_messages_are_stored_and_answered(tmp_path):
    url = f"redis://127.0.0.1:{free_port()}/0"
    with serving(make_config(tmp_path, url)) as api:
        ann = api.person("ann")
        channel = ann.channel()
        for _ in range(20):
            ann.send(channel)
        assert ann.post("/api/connect").status == 503
        assert ann.post("/api/logout").status == 204


def test_redis_may_come_and_go(tmp_path):
    port = free_port()
    with serving(make_config(tmp_path, f"redis://127.0.0.1:{port}/0")) as api:
        ann = api.person("ann")
        channel = ann.channel()
        ann.send(channel)
        for _ in range(2):
            with running_redis(port):
                wait_for(lambda: metric(api, "chat_api_redis_away") == 0, "the API to find Redis")
                ann.send(channel)
            ann.send(channel)
        assert len(ann.get(f"/api/channels/{channel}/messages").json()["messages"]) == 5


def test_senders_share_commits(redis_url, tmp_path):
    with serving(make_config(tmp_path, redis_url)) as api, ThreadPoolExecutor(32) as pool:
        ann = api.person("ann")
        channel = ann.channel()
        before = metric(api, "chat_api_commits_total")

        def send(worker):
            caller = api.caller(ann.token)
            return [caller.send(channel, f"{worker} {i}")["seq"] for i in range(20)]

        seqs = [list(part) for part in pool.map(send, range(32))]
        assert all(part == sorted(part) for part in seqs)
        assert sorted(seq for part in seqs for seq in part) == list(range(2, 642))
        assert metric(api, "chat_api_commits_total") - before < 640


def test_the_same_message_sent_at_once_by_many_is_one(redis_url, tmp_path):
    with serving(make_config(tmp_path, redis_url)) as api, ThreadPoolExecutor(16) as pool:
        ann = api.person("ann")
        channel = ann.channel()
        gate = threading.Barrier(16)

        def send(_):
            caller = api.caller(ann.token)
            gate.wait()
            return caller.post(f"/api/channels/{channel}/messages", {"client_msg_id": "one", "text": "x"})

        answers = list(pool.map(send, range(16)))
        assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1


def test_the_access_log_has_a_line_for_each_request(redis_url, tmp_path):
    path = tmp_path / "access.log"
    log = Log(access=AccessLog(path=str(path), flush=0.01), error=ErrorLog(level="debug"))
    with serving(make_config(tmp_path, redis_url, log=log)) as api:
        caller = api.caller()
        caller.get("/healthz", headers={"User-Agent": 'x" \\ \xe9', "Referer": "http://a/"})
        caller.get("/api/me?a=%7f")
        wait_for(lambda: path.read_text().count("\n") == 2, "two lines")
        first, second = path.read_text().splitlines()
        assert first.startswith("127.0.0.1 - - [")
        assert '"GET /healthz HTTP/1.1" 200 ' in first
        assert '"http://a/" "x\\x22 \\x5c \\xe9"' in first
        assert " 401 " in second
        # Written anew under the same name.
        path.rename(tmp_path / "old.log")
        api.process.popen.send_signal(signal.SIGUSR1)
        wait_for(path.exists, "the new file")
        caller.get("/healthz")
        wait_for(lambda: path.read_text().count("\n") == 1, "a line in the new file")


def test_no_secret_is_logged(redis_url, tmp_path):
    log = Log(access=AccessLog(path="-", flush=0.01), error=ErrorLog(level="debug"))
    with serving(make_config(tmp_path, redis_url, log=log)) as api:
        ann = api.person("ann")
        ann.send(ann.channel(), "a private thought")
        ann.post("/api/connect")
        stopped(api)
        said = api.process.read()
    assert "/api/login" in said
    for secret in (ann.token, "correct horse", "private thought", (tmp_path / "data" / "secret").read_text().strip()):
        assert secret not in said


def test_rates_hold_for_connects(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    config = msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, connect=Rate(1, 60)))
    with serving(config) as api:
        ann = api.person("ann")
        assert [ann.post("/api/connect").status for _ in range(3)] == [503, 503, 429]


def test_kill_minus_nine_leaves_all_that_was_answered(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    with serving(config) as api, ThreadPoolExecutor(8) as pool:
        ann = api.person("ann")
        channel = ann.channel()
        answered = []

        def send(worker):
            caller = api.caller(ann.token)
            for i in range(10_000):
                body = {"client_msg_id": f"{worker}-{i}", "text": "x"}
                try:
                    answer = caller.post(f"/api/channels/{channel}/messages", body)
                except (OSError, HTTPException):
                    return      # the line was cut
                answered.append((answer.json()["id"], body["client_msg_id"]))

        senders = [pool.submit(send, worker) for worker in range(8)]
        wait_for(lambda: len(answered) > 200, "some messages")
        api.process.popen.kill()
        for sender in senders:
            sender.result(DEADLINE_S)
    wait_for_port_free(api.port)
    with serving(config) as api:
        again = api.caller(ann.token)
        shown, after = {}, 0
        while True:
            page = again.get(f"/api/channels/{channel}/messages?after={after}&limit=200").json()
            for message in page["messages"]:
                shown[message["id"]] = message["client_msg_id"]
                after = message["seq"]
            if not page["more_after"]:
                break
        assert len(set(shown.values())) == len(shown), "stored twice"
        assert set(answered) <= set(shown.items())
        # A retry of what was answered is the same one.
        first, name = answered[0]
        answer = again.post(f"/api/channels/{channel}/messages", {"client_msg_id": name, "text": "x"})
        assert (answer.status, answer.json()["id"]) == (200, first)


def wait_for_port_free(port):
    def is_free():
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) != 0

    wait_for(is_free, "the port to be free")


def test_it_is_ready_when_it_says_so(redis_url, tmp_path):
    with serving(make_config(tmp_path, redis_url)) as api:
        wait_for_port(api.port)
        assert raw(api.port, GET).startswith(b"HTTP/1.1 200")
