from __future__ import annotations

import os
import re
import signal
import socket
import sys

import pytest

from hotpath.core import notify
from hotpath.core.serve.testing import launched
from hotpath.core.supervise import Part, Supervisor
from tests.core.serve import keeper
from tests.core.serving import services


class Manager:
    """The far end: what a service said."""

    def __init__(self, socket_: socket.socket) -> None:
        self.socket = socket_
        self.socket.settimeout(20)

    def hears(self) -> list[str]:
        """The words of its next message, times left out."""
        return re.sub(r"(?<=USEC=)\d+", "N", self.socket.recv(4096).decode()).split("\n")


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        monkeypatch.setenv(notify.VARIABLE, str(tmp_path / "notify"))
        yield Manager(end)


RELOADING = ["RELOADING=1", "MONOTONIC_USEC=N", "STATUS="]


def test_without_a_manager_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv(notify.VARIABLE, raising=False)
    notify.notify(notify.READY)
    monkeypatch.setenv(notify.VARIABLE, str(tmp_path / "gone"))
    notify.notify(notify.READY)


def test_a_reason_that_is_no_utf_8_is_told_all_the_same(manager):
    notify.notify(notify.READY, f"STATUS=reload failed: {os.fsdecode(b'caf' + bytes([0xe9]))}.yaml is gone")
    assert manager.hears() == [notify.READY, "STATUS=reload failed: caf?.yaml is gone"]


def test_one_in_the_abstract_namespace_hears_us(monkeypatch):
    name = f"hotpath-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        monkeypatch.setenv(notify.VARIABLE, f"@{name}")
        notify.notify("A=1", "B=2")
        assert Manager(end).hears() == ["A=1", "B=2"]


def test_a_master_says_what_it_is_at(manager, tmp_path):
    with services(tmp_path) as start:
        service = start()
        assert manager.hears() == ["READY=1"]
        service.reload(answer="two")
        assert (manager.hears(), manager.hears()) == (RELOADING, ["READY=1"])
        service.path.write_text("{")
        service.signal(signal.SIGHUP)
        assert manager.hears() == RELOADING
        ready, status = manager.hears()
        assert ready == "READY=1"
        assert status.startswith("STATUS=reload failed: ")
        service.signal(signal.SIGTERM)
        assert manager.hears() == ["STOPPING=1"]
        assert service.process.wait() == 0


def test_an_upgrade_is_nobodys_stop_and_the_next_one_is_heard_later(manager, tmp_path):
    pid_file = tmp_path / "pid"
    with services(tmp_path) as start:
        service = start(pid_file=str(pid_file))
        assert manager.hears() == ["READY=1"]
        service.signal(signal.SIGUSR2)
        assert service.process.wait() == 0
        pid = int(pid_file.read_text())
        assert pid != service.process.pid
        os.kill(pid, signal.SIGHUP)
        assert (manager.hears(), manager.hears()) == (RELOADING, ["READY=1"])
        os.kill(pid, signal.SIGTERM)
        assert manager.hears() == ["STOPPING=1"]


def test_a_server_of_one_process_says_the_same(manager, tmp_path):
    (tmp_path / "it.yaml").write_text(f"name: ann\npid_file: {tmp_path}/pid\n")
    with launched([sys.executable, "-P", keeper.__file__, "serve", "--data", str(tmp_path), "--config",
                   str(tmp_path / "it.yaml"), "--listen", "127.0.0.1:0"]) as served:
        assert manager.hears() == ["READY=1"]
        served.signal(signal.SIGHUP)
        assert (manager.hears(), manager.hears()) == (RELOADING, ["READY=1"])
        served.signal(signal.SIGUSR2)
        assert manager.hears() == ["READY=1"]       # once the old one let go of the data
        assert served.wait() == 0
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        assert manager.hears() == ["STOPPING=1"]


def test_a_part_is_not_heard_by_our_manager(manager):
    code = f"import os; print(os.environ.get('{notify.VARIABLE}'))"
    lines = []
    with Supervisor([Part("part", [sys.executable, "-c", code])], write=lines.append) as supervisor:
        while not lines:
            supervisor.turn(1.0)
    assert lines[0] == "part | None"
