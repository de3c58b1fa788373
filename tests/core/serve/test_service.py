from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hotpath.core.serve import Request, Response, Router, ServeConfig, WebSocket, serve_command
from hotpath.core.serve.config import AccessLog, Log
from hotpath.core.serve.testing import Served, serving
from tests import wsclient
from tests.clients import Client, fetch, request_bytes
from tests.core.serve import apps
from tests.waiting import wait_for


def app_that_says_who() -> Router:
    app = Router()

    @app.route("GET", "/who")
    def who(request: Request) -> Response:
        return Response.json(os.getpid())

    return app


def test_healthz_and_metrics_are_there(served: Served):
    assert fetch(served.address, "/healthz").body == b"ok\n"
    answer = fetch(served.address, "/metrics")
    assert (answer.value("content-type") or "").startswith("text/plain; version=0.0.4")
    assert b'hotpath_requests_total{route="/healthz",status="2xx"}' in answer.body


def test_the_applications_own_healthz_stays():
    app = app_that_says_who()
    app.add("GET", "/healthz", lambda request: Response("mine"))
    with serving(app) as served:
        assert fetch(served.address, "/healthz").body == b"mine"


def test_metrics_are_summed_over_workers():
    with serving(app_that_says_who(), workers=2) as served:
        asked = 0

        def both() -> bool:
            nonlocal asked
            asked += 20
            return len({fetch(served.address, "/who").json() for _ in range(20)}) == 2

        wait_for(both, "an answer of each worker")

        def all_counted() -> bool:      # an answer is on its way before it is counted
            page = fetch(served.address, "/metrics").body
            counted = re.search(rb'requests_total{route="/who",status="2xx"} (\d+)', page)
            return counted is not None and int(counted[1]) == asked

        wait_for(all_counted, f"{asked} requests")


def test_term_answers_what_is_under_way_and_then_ends():
    with serving(apps.make()) as served, Client(served.address) as busy, Client(served.address) as idle:
        assert idle.ask("GET", "/hello").body == b"hello"
        busy.send(request_bytes("GET", "/wait/drain"))
        wait_for(lambda: "waiting drain" in fetch(served.address, "/seen").json(), "the handler")
        served.signal(signal.SIGTERM)
        served.wait_for("stopping")
        answer = wait_for(lambda: drained(idle), "the drain")
        assert answer == (503, True)
        busy.close()
        assert served.wait() == 0


def drained(client: Client) -> tuple[int, bool] | None:
    """What /healthz says once the worker drains, on a connection from before."""
    answer = client.ask("GET", "/healthz")
    return (answer.status, answer.says_close) if answer.status == 503 else None


def test_a_drain_under_load_loses_nothing():
    failures: list[str] = []
    answers: list[int] = []

    def load(address: str, refused: threading.Event) -> None:
        while not refused.is_set():
            try:
                with Client(address) as client:
                    while True:
                        answer = client.ask("GET", "/nap")
                        answers.append(answer.status)
                        if answer.says_close:
                            break
            except ConnectionRefusedError:
                refused.set()
            except Exception as error:
                failures.append(repr(error))
                return

    with serving(apps.make(), workers=2) as served:
        refused = threading.Event()
        threads = [threading.Thread(target=load, args=(served.address, refused)) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answers) > 100, "some load")
        assert served.stop() == 0
        for thread in threads:
            thread.join()
    assert not failures
    assert set(answers) == {200}


def test_a_killed_worker_is_replaced_and_its_gauges_are_cleared():
    with serving(app_that_says_who()) as served, Client(served.address) as client:
        pid = client.ask("GET", "/who").json()
        os.kill(pid, signal.SIGKILL)

        def replaced() -> bool:
            return bool(fetch(served.address, "/who").json() != pid)

        wait_for(replaced, "another worker")
        assert b'hotpath_connections{state="active"} 1\n' in fetch(served.address, "/metrics").body


def test_a_reload_keeps_counting():
    with serving(app_that_says_who()) as served:
        pid = fetch(served.address, "/who").json()
        served.signal(signal.SIGHUP)
        served.wait_for("reloaded generation=2")
        wait_for(lambda: fetch(served.address, "/who").json() != pid, "the new worker")
        page = fetch(served.address, "/metrics").body
        assert b'hotpath_reloads_total{ok="true"} 1' in page
        counted = re.search(rb'requests_total{route="/who",status="2xx"} (\d+)', page)
        assert counted
        assert int(counted[1]) >= 2


def test_out_of_descriptors_it_waits_and_goes_on():
    with serving(app_that_says_who()) as served:
        pid = fetch(served.address, "/who").json()
        n_open = len(os.listdir(f"/proc/{pid}/fd"))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open + 2, before[1]))
        held = [Client(served.address) for _ in range(4)]
        served.wait_for("accepting paused")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for client in held:
            assert client.ask("GET", "/who").json() == pid
            client.close()


def test_the_access_log_has_a_line_per_request_and_goes_on_in_a_new_file():
    with serving(apps.make()) as served:
        fetch(served.address, "/hello?q=%22", fields=[("User-Agent", 'a "quoted\xff one'), ("Referer", "there")])
        line = wait_for(served.access_log, "a line")
        assert re.fullmatch(
            r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\] '
            r'"GET /hello\?q=%22 HTTP/1\.1" 200 5 "there" "a \\x22quoted\\xff one"\n', line)
        path = served.folder / "access.log"
        path.rename(served.folder / "old.log")
        served.signal(signal.SIGUSR1)
        wait_for(path.exists, "the new file")

        def follows() -> bool:
            fetch(served.address, "/nap")
            return "/nap" in served.access_log()

        wait_for(follows, "a line in the new file")


def test_the_access_log_as_json():
    with serving(apps.make(), ServeConfig(log=Log(access=AccessLog(format="json")))) as served:
        fetch(served.address, "/hello", fields=[("User-Agent", '"\\\tx')])
        line = json.loads(wait_for(served.access_log, "a line"))
        assert line["client"] == "127.0.0.1"
        assert (line["method"], line["target"], line["protocol"]) == ("GET", "/hello", "HTTP/1.1")
        assert (line["status"], line["body_sent"], line["referer"], line["user_agent"]) == (200, 5, None, '"\\\tx')
        assert line["duration_ms"] >= 0


def test_starters_run_in_each_worker():
    app = Router()
    started: list[bool] = []
    app.at_start(lambda: started.append(True))
    app.add("GET", "/", lambda request: Response.json(started))
    with serving(app) as served:
        assert fetch(served.address, "/").json() == [True]


# The command

def command(folder: Path, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    file = folder / "it.yaml"
    file.write_text(text)
    program = ("import sys; from hotpath.core.serve import Router, serve_command; "
               "sys.exit(serve_command(Router(), prog='it', description='It.'))")
    return subprocess.run([sys.executable, "-P", "-c", program, "serve", "--config", str(file), *flags],
                          capture_output=True, text=True, timeout=60, check=False)


def test_check_says_ok(tmp_path: Path):
    done = command(tmp_path, "listen: 127.0.0.1:0\nlimits: {body: 8m}\ntimeouts: {head: 2s}\n", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("ok\n")


@pytest.mark.parametrize(("text", "flags", "said"), [
    ("workers: 0\n", (), r"it\.yaml:1: workers: "),
    ("limits:\n  bodi: 1m\n", (), r"it\.yaml:2: limits\.bodi: unknown key \(did you mean body\?\)"),
    ("listen: 1.2.3.4:5\n", (), r"it\.yaml:1: listen: cannot assign requested address"),
    ("{}\n", ("--workers", "x"), r"--workers: 'x' is not allowed"),
    ("{}\n", ("--listen", "x"), r"--listen: "),
    ("log: {access: /absent/log}\n", ("--check",), r"it\.yaml:1: log\.access.*: '/absent/log' cannot be written"),
])
def test_a_mistake_is_exit_status_2_with_its_place(tmp_path: Path, text: str, flags: tuple[str, ...], said: str):
    done = command(tmp_path, text, *flags)
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        serve_command(Router(), ["serve", "--help"], prog="it", description="It.")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--config", "--listen", "--workers", "--check"))


def test_the_example_of_the_package_runs(tmp_path: Path):
    import textwrap

    import hotpath.core.serve as package
    from hotpath.core.serve import testing

    text = textwrap.dedent("    " + (package.__doc__ or "").partition("\n\n    ")[2].partition("\n\n`router.py`")[0])
    assert text.count("\n") <= 16
    names: dict[str, Router] = {"__name__": "example"}      # type: ignore[dict-item]
    exec(compile(text, "example", "exec"), names)
    with testing.serving(names["app"]) as served:
        answer = fetch(served.address, "/v1/items/1")
        assert (answer.json(), answer.value("cache-control")) == ({"id": 1, "name": "a pen"}, "no-store")
        assert fetch(served.address, "/v1/items/2").json()["detail"] == "no item 2"


def test_a_guard_is_asked_before_every_handler_but_that_of_healthz():
    app = app_that_says_who()
    app.guard = lambda request: None if request.field("x-key") == "right" else Response("who?", 401)
    app.exposed = lambda: "# TYPE ours counter\nours 7\n"
    with serving(app) as served:
        for path in ("/who", "/metrics"):
            assert fetch(served.address, path).status == 401
            assert fetch(served.address, path, "GET", [("X-Key", "right")]).status == 200
        assert fetch(served.address, "/healthz").status == 200
        metrics = fetch(served.address, "/metrics", "GET", [("X-Key", "right")]).body
        assert metrics.endswith(b"# TYPE ours counter\nours 7\n")
        assert b"hotpath_requests_total" in metrics


def test_a_gate_is_asked_before_anything_else_is_answered():
    app = app_that_says_who()

    @app.websocket("/socket")
    def echo(request: Request, socket: WebSocket) -> None:
        socket.send("in")

    app.gate = lambda request: None if request.field("x-key") == "right" else Response("who?", 401)
    with serving(app) as served:
        key = [("X-Key", "right")]
        for method, path, status in (
                ("GET", "/who", 200), ("GET", "/nowhere", 404), ("POST", "/who", 405), ("PURGE", "/who", 501),
                ("OPTIONS", "/who", 204), ("GET", "/healthz", 200), ("GET", "/metrics", 200), ("GET", "/socket", 426)):
            assert fetch(served.address, path, method).status == 401
            assert fetch(served.address, path, method, key).status == status
        for fields, status in ([], 401), (key, 101):
            with wsclient.Client(served.address) as client:
                client.send(wsclient.handshake("/socket", *fields))
                assert client.read_head().status == status


def test_what_finishes_answers_has_all_of_them_in_hand():
    app = app_that_says_who()

    def finish(request: Request, response: Response) -> Response:
        response.add_header("X-Path", request.raw_path)
        return Response("other") if response.status == 404 else response

    app.finish = finish
    with serving(app) as served:
        assert fetch(served.address, "/who").value("x-path") == "/who"
        assert fetch(served.address, "/healthz").value("x-path") == "/healthz"
        assert (fetch(served.address, "/nowhere").status, fetch(served.address, "/nowhere").body) == (200, b"other")


def test_an_application_below_a_path_has_health_and_metrics_there_too_and_knows_its_address():
    app = Router()
    app.base = "/below"
    app.exposed = lambda: "".join(f"# {address}\n" for address in app.bound)
    with serving(app) as served:
        for base in ("", "/below"):
            assert fetch(served.address, f"{base}/healthz").body == b"ok\n"
            assert fetch(served.address, f"{base}/metrics").body.endswith(f"# {served.address}\n".encode())
