from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from hotpath.core.errors import ConfigError
from hotpath.core.worker import Identity

ME = pwd.getpwuid(os.geteuid()).pw_name

# A child that is set up as the master does it, and tells on stdout what became of it.
LIVE = """
import os, signal, sys
from hotpath.core.worker import WorkerContext, live

def run(worker):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    worker.ready()
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    print(sorted(n.name for n in blocked), sorted(n.name for n in unblocked), signal.alarm(0))
    {body}

ready, ready_end = os.pipe()
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGTERM))
pid = os.fork()
if pid == 0:
    live(WorkerContext(0, "worker-0", (), 1.0, ready_end), run, shed=lambda: None, master_pid={master}, identity=None)
os.close(ready_end)
print(os.read(ready, 100).decode() == f"{{pid}}\\n", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def lived(body: str, master: str = "os.getppid()") -> str:
    script = LIVE.format(body=body, master=master)
    child = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    return child.stdout + child.stderr


def test_signals_are_held_until_it_is_ready():
    assert lived("pass") == "['SIGQUIT', 'SIGTERM', 'SIGUSR1'] [] 0\nTrue 0\n"


@pytest.mark.parametrize(("body", "status"), [("sys.exit()", 0), ("sys.exit(7)", 7), ("sys.exit('why')", 1),
                                              ("1 / 0", 1)])
def test_its_exit_status_is_what_it_says(body, status):
    assert f"True {status}\n" in lived(body)


def test_what_it_raises_is_logged():
    output = lived("1 / 0")
    assert "worker failed name=worker-0" in output
    assert "ZeroDivisionError" in output


def test_a_child_whose_master_is_gone_already_does_not_start():
    assert lived("pass", master="1 << 30") == "False 1\n"


def test_what_it_starts_hears_interrupts():
    """An ignored signal would stay ignored through exec: no Ctrl-C in any shell that a worker starts."""
    show = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    body = f"import subprocess; subprocess.run([sys.executable, '-c', {show!r}])"
    assert "True\n" in lived(body).splitlines(keepends=True)


def test_identity_is_looked_up_by_name():
    identity = Identity.of(ME)
    assert identity.uid == os.geteuid()
    assert identity.gid in identity.groups
    with pytest.raises(ConfigError, match="user: no user is called 'x y'"):
        Identity.of("x y")


def test_only_root_may_become_somebody_else(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(ConfigError, match="user: only root can start workers as 'root'"):
        Identity.of("root")


def test_root_gives_up_its_groups_first_and_itself_last(monkeypatch):
    calls: list[tuple[str, object]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: calls.append((name, value)))
    Identity(1001, 1002, (1002, 1003)).assume()
    assert calls == [("setgroups", (1002, 1003)), ("setgid", 1002), ("setuid", 1001)]
