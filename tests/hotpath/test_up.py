"""`hotpath up`: everything runs behind the proxy, heals, and leaves nothing behind."""
import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotpath.up import CannotStart, choose
from tests.waiting import is_alive, running, wait_for

UP = [sys.executable, "-P", "-m", "hotpath", "up"]
# An interpreter and a few extension modules for each part, on a machine that others use too.
UP_WITHIN_S = 60.0


class House:
    """A running `hotpath up`, and where it is."""

    def __init__(self, process):
        self.process = process
        self.url = process.wait_for_output(r"^  (http://\S+)/ ", UP_WITHIN_S)[1]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=20) as response:
            return response.headers, response.read()

    def json(self, path):
        return json.loads(self.get(path)[1])

    def part(self, name):
        return next(part for part in self.json("/status.json")["parts"] if part["name"] == name)

    def group(self):
        """The pids of every process below it."""
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(fields[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


@contextmanager
def house_up(folder):
    with running([*UP, "--listen", "127.0.0.1:0"], env={**os.environ, "TMPDIR": str(folder)}) as process:
        yield House(process)
        if process.popen.poll() is None:
            process.popen.terminate()
            process.wait()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with house_up(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def own_house(tmp_path):
    """One that the test may harm."""
    with house_up(tmp_path) as house:
        yield house


def test_the_page_comes_with_a_policy_that_allows_no_inline_script(house):
    headers, body = house.get("/")
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    for attribute, path in re.findall(rb'(src|href)="([^/"#][^"]*)"', body):
        assert house.get(f"/{path.decode()}")[1], attribute


def test_the_status_says_that_every_part_is_well(house):
    parts = house.json("/status.json")["parts"]
    assert [part["name"] for part in parts] == ["proxy", "sample-1", "sample-2"]
    assert all(part["well"] and part["restarts"] == 0 for part in parts)


def test_every_link_leads_somewhere(house):
    paths = {link["path"] for part in house.json("/status.json")["parts"] for link in part["links"]}
    assert all(house.get(path)[1] for path in paths)


def test_both_samples_answer(house):
    wait_for(lambda: len({house.json("/sample/whoami")["name"] for _ in range(4)}) == 2, "both samples")


def test_the_logs_are_one_stream_with_names(house):
    house.get("/sample/echo?mark=1")
    house.process.wait_for_output(r"^proxy +\| .*GET /sample/echo\?mark=1")


def test_an_unknown_path_is_a_problem_of_the_proxy(house):
    with pytest.raises(urllib.error.HTTPError) as caught:
        house.get("/nothing/here")
    assert caught.value.code == 404


def test_a_killed_part_comes_back(own_house):
    pid = own_house.json("/sample/whoami")["pid"]
    os.kill(pid, signal.SIGKILL)
    name = own_house.process.wait_for_output(r"part=(\S+) ended=SIGKILL")[1]
    wait_for(lambda: own_house.part(name)["restarts"] == 1 and own_house.part(name)["well"], f"{name} to be well again")
    wait_for(lambda: own_house.json("/sample/whoami")["pid"] != pid, "an answer of the new process")


def test_a_killed_proxy_comes_back_on_the_same_port(own_house):
    proxy = next(pid for pid in own_house.group() if is_alive(pid) and b"hotpath.proxy" in _cmdline(pid)
                 and _parent(pid) == own_house.process.pid)
    os.kill(proxy, signal.SIGKILL)

    def is_back():
        try:
            return own_house.part("proxy")["restarts"] == 1
        except OSError:
            return False

    wait_for(is_back, "the proxy to be back", UP_WITHIN_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(own_house, number, tmp_path):
    pids = own_house.group()
    assert len(pids) >= 4
    os.kill(own_house.process.pid, number)
    assert own_house.process.wait() == 0
    assert not any(map(is_alive, pids))
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in own_house.process.output


def test_nothing_outlives_a_kill(own_house):
    pids = own_house.group()
    os.kill(own_house.process.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, pids)), "the end of every part")


def test_a_part_that_refuses_its_configuration_ends_the_start(tmp_path):
    folder = tmp_path / ("too-long-for-a-unix-socket-" * 5)
    folder.mkdir()
    with running([*UP, "--listen", "127.0.0.1:0"], env={**os.environ, "TMPDIR": str(folder)}) as process:
        assert process.wait(UP_WITHIN_S) == 1
        assert "up.yaml" in process.output
        assert process.output.splitlines()[-1].startswith("hotpath up: cannot go on without proxy")
        assert not list(folder.iterdir())


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        with running([*UP, "--listen", address]) as process:
            assert process.wait() == 2
            assert process.output == (f"hotpath up: --listen: {address} is taken; stop what listens there, "
                                      "or name another HOST:PORT\n")


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1:99999", "[::1:8080", "unix:/tmp/it", "192.0.2.1:8080"])
def test_an_unusable_address_says_what_is_allowed(listen):
    with pytest.raises(CannotStart, match="--listen: "):
        choose(listen)


def _cmdline(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
