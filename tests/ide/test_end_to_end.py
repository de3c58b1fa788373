"""The whole of it as its user has it: a real server, real sandboxes, plain clients; and all is back after a kill."""
from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients import CutShort, fetch
from tests.ide.engines import docker_engine, docker_python  # noqa: F401
from tests.ide.paths import public_folder
from tests.ide.servers import Ide, Screen, heard, serving, written
from tests.waiting import free_port, wait_for

# The first time on a machine an image is built.
pytestmark = pytest.mark.timeout(900)

SERVER = """\
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.path} {self.headers.get('Cookie')} {self.headers.get('Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *given):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""


@pytest.fixture(scope="module", params=["process", "bubblewrap", "docker"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker_python")
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def file(kind: str) -> Iterator[Path]:
    with public_folder() as folder:
        yield written(folder, kind)


@pytest.fixture
def other(kind: str, file: Path) -> Iterator[Path]:
    """The same configuration, for a server that is not everybody's."""
    with public_folder() as folder:
        copy = folder / file.name
        copy.write_text(file.read_text())
        yield copy
        if kind == "docker":
            with serving(copy) as ide:
                ide.empty()


@pytest.fixture(scope="module")
def ide(file: Path) -> Iterator[Ide]:
    with serving(file) as running:
        yield running
        running.empty()


def shell(ide: Ide, id: str) -> Screen:
    """A new terminal of it, at its prompt."""
    made = ide.right(201, "POST", f"/api/projects/{id}/terminals", {"cols": 80, "rows": 24})
    screen = Screen(ide, id, made["id"])
    screen.type(b"PS1='> '; echo re''ady\n")
    screen.until(b"ready\r\n")
    return screen


def test_type_into_a_terminal_while_packages_are_set_up(ide):
    made = ide.create("python", "python")
    assert made["state"] == "running"
    path = f"/api/projects/{made['id']}"
    screen = shell(ide, made["id"])
    screen.type(b"pwd; cat main.py; echo $((6 * 7))\n")
    screen.until(b"42\r\n")
    screen.type(b"echo $HOTPATH_IDE_TOKEN$TOKEN; env\n")
    screen.type(b"echo e''nd\n")
    assert ide.token.encode() not in screen.until(b"end\r\n")
    setup = next(one for one in ide.right(200, "GET", f"{path}/terminals")["terminals"] if one["kind"] == "setup")
    watcher = Screen(ide, made["id"], setup["id"], 0)
    assert watcher.until_closed() == 1000
    assert watcher.status == 0
    ran = ide.right(201, "POST", f"{path}/run", {"command": "python -c 'import sys; print(sys.prefix)'"})
    output = Screen(ide, made["id"], ran["id"], 0)
    output.until(b".venv\r\n")
    for one in screen, watcher, output:
        one.close()


def test_one_truth_for_editor_and_terminal(ide):
    made = ide.create("truth")
    path = f"/api/projects/{made['id']}"
    with ide.socket(f"{path}/events") as events:
        heard(events, "hello")
        screen = shell(ide, made["id"])
        saved = ide.put(made["id"], "note.txt", b"from the editor\n")
        assert saved.status == 201
        heard(events, "fs")
        screen.type(b"cat note.txt; echo from the shell > note.txt\n")
        screen.until(b"from the editor\r\n")
        while not [change for change in heard(events, "fs")["changes"]
                   if change["path"] == "note.txt" and change["etag"] not in (None, (saved.value("etag") or "")[1:-1])]:
            pass
        assert ide.put(made["id"], "note.txt", b"mine\n", (saved.value("etag") or "")[1:-1]).status == 412
        read = ide.ask("GET", f"{path}/file?path=note.txt")
        assert read.body == b"from the shell\n"
        screen.close()


def test_a_program_that_listens_is_seen_on_an_origin_of_its_own(ide):
    made = ide.create("preview")
    path = f"/api/projects/{made['id']}"
    port = free_port()
    ide.put(made["id"], "server.py", SERVER.encode())
    with ide.socket(f"{path}/events") as events:
        ide.right(201, "POST", f"{path}/run", {"command": f"PORT={port} python3 server.py"})
        said = heard(events, "ports")
        while port not in [one["port"] for one in said["ports"]]:
            said = heard(events, "ports")
    one = next(one for one in ide.right(200, "GET", f"{path}/ports")["ports"] if one["port"] == port)
    host = one["url"].removeprefix("http://").rstrip("/")
    key, _, rest = host.partition(".")
    assert len(key) == 26
    assert rest.startswith("localhost:")
    name, value = ide.sign_in()
    address = f"127.0.0.1:{rest.partition(':')[2]}"
    answer = fetch(address, "/x?y", "GET", [("Cookie", f"{name}={value}"), *ide.bearer], host=host)
    assert (answer.status, answer.body) == (200, b"/x?y None None")
    assert fetch(address, "/", host=f"{'a' * 26}.{rest}").status == 404
    for own in ide.address, "localhost":
        assert fetch(address, "/api/projects", "GET", ide.bearer, host=own).status in (404, 421)


def test_a_lost_line_gets_each_byte_once(ide):
    made = ide.create("lost")
    screen = shell(ide, made["id"])
    screen.type(b"for i in $(seq 1 3000); do echo line $i; done; echo a''ll\n")
    screen.until(b"line 100\r\n")
    offset = screen.offset - len(screen.text)
    screen.close()
    terminal = ide.right(200, "GET", f"/api/projects/{made['id']}/terminals")["terminals"][0]["id"]
    again = Screen(ide, made["id"], terminal, offset)
    lines = again.until(b"all\r\n").split(b"\r\n")
    assert again.flags == 0
    assert [line for line in lines if line] == [b"line %d" % i for i in range(101, 3001)]
    again.close()


def save_until_it_dies(ide: Ide, id: str, acknowledged: list[str]) -> None:
    """Save one file again and again; what was acknowledged is noted."""
    etag: str | None = None
    with suppress(OSError, CutShort):
        for i in range(100_000):
            answer = ide.put(id, "saved.txt", b"%d\n" % i, etag)
            assert answer.status in (201, 204)
            etag = (answer.value("etag") or "")[1:-1]
            acknowledged.append(etag)


def test_all_is_back_after_a_kill(kind, other):
    with serving(other, port=free_port()) as ide:
        kept, gone = ide.create("kept"), ide.create("gone")
        path = f"/api/projects/{kept['id']}"
        first = ide.put(kept["id"], "a.txt", b"first")
        assert ide.put(kept["id"], "a.txt", b"second", (first.value("etag") or "")[1:-1]).status == 204
        ide.right(200, "PATCH", path, {"name": "renamed", "keep_running": True})
        ide.right(204, "DELETE", f"/api/projects/{gone['id']}")
        cookie = ide.sign_in()
        with ide.socket(f"{path}/events") as events:
            seq = heard(events, "hello")["seq"]
        screen = shell(ide, kept["id"])
        screen.type(b"echo $$ > pid; sleep 1000 & echo $! > child; echo wr''itten\n")
        screen.until(b"written\r\n")
        acknowledged: list[str] = []
        saving = threading.Thread(target=save_until_it_dies, args=(ide, kept["id"], acknowledged))
        saving.start()
        wait_for(lambda: len(acknowledged) > 20, "saves")
        os.kill(ide.served.pid, signal.SIGKILL)
        saving.join()
        ide.served.wait()
        port, token = ide.served.port, ide.token
    with serving(other, port=port) as ide:
        assert ide.token == token
        signed = [("Cookie", f"{cookie[0]}={cookie[1]}"), ("Origin", f"http://{ide.address}")]
        listed = json.loads(ide.raw("GET", "/api/projects", signed).body)["projects"]
        assert [(one["id"], one["name"], one["state"], one["keep_running"]) for one in listed] == [
            (kept["id"], "renamed", "running" if kind == "docker" else "stopped", True)]
        assert ide.right(200, "GET", f"{path}/file?path=a.txt").body == b"second"
        with ide.socket(f"{path}/events?since={seq}") as events:
            heard(events, "hello")
            assert heard(events, "overflow")["seq"] > seq
        current = (ide.ask("HEAD", f"{path}/file?path=saved.txt").value("etag") or "")[1:-1]
        versions = ide.right(200, "GET", f"{path}/history?path=saved.txt")["versions"]
        assert acknowledged[-1] in [current, *(version["etag"] for version in versions)]
        versions = ide.right(200, "GET", f"{path}/history?path=a.txt")["versions"]
        assert [version["etag"] for version in versions] == [(first.value("etag") or "")[1:-1]]
        assert ide.right(200, "POST", f"/api/projects/{gone['id']}/undelete")["name"] == "gone"
        assert ide.right(200, "POST", f"{path}/start")["state"] == "running"
        screen = shell(ide, kept["id"])
        screen.type(b"cat a.txt; echo $((1 + 1))\n")
        screen.until(b"second2\r\n")
        screen.close()


def test_a_stop_ends_what_runs_and_waits_for_nobody(kind, other):
    with serving(other) as ide:
        made = ide.create("stopped")
        screen = shell(ide, made["id"])
        screen.type(b"trap '' HUP TERM; sleep 1000 & sleep 1001\n")
        with ide.socket(f"/api/projects/{made['id']}/events") as events:
            heard(events, "hello")
            ide.served.signal(signal.SIGTERM)
            _, payload = events.read_to_close()
            assert payload is not None
            assert int.from_bytes(payload[:2], "big") == 1001
            events.send_close(1001)
            assert screen.until_closed() == 1001
            assert ide.served.wait() == 0
        if kind != "docker":        # containers go on
            wait_for(lambda: not sleepers(other.parent), "the end of what ran")


def sleepers(folder: Path) -> list[int]:
    """What runs in a folder below this one."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").readlink().is_relative_to(folder):
                    found.append(int(process.name))
            except OSError:
                continue
    return found

