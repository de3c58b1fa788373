"""What a program in a project's container sees, may and says, at a real engine."""
from __future__ import annotations

import os
import signal
import socket
import tempfile
import traceback
from pathlib import Path

import pytest

from hotpath.core.tasks import spawn
from hotpath.ide.sandbox.docker.readiness import receive, send
from hotpath.ide.sandbox.docker.relay import relayed
from tests.ide.sandbox.docking import Line, Screen, home, output, shell
from tests.ide.spaces import until

pytestmark = pytest.mark.timeout(900)       # the first of a machine waits for the image


@pytest.fixture(scope="module")
def project(docker_python, tmp_path_factory):
    with home(tmp_path_factory.mktemp("docker") / "data") as one:
        yield one


def test_a_shell_prompts_in_the_projects_folder(project):
    def act(running):
        with Screen(running.spawn(["bash", "-i"], 101, 31)) as screen:
            screen.until("user@python:~$ ")
            screen.type("pwd; stty size\n")
            screen.until("/workspace\r\n31 101\r\n")
    project.inside(act)


def test_the_environment_is_the_templates_and_nothing_of_the_servers(project, monkeypatch):
    monkeypatch.setenv("HOTPATH_SECRET", "token")

    def act(running):
        said, _ = output(running, "env", env={"MORE": "of this"})
        words = dict(line.partition("=")[::2] for line in said.splitlines())
        assert words["HOME"] == words["PWD"] == "/workspace"
        assert words["PATH"].startswith("/workspace/.venv/bin:/usr/local/sbin:")
        assert (words["USER"], words["TERM"], words["LANG"]) == ("user", "xterm-256color", "C.UTF-8")
        assert (words["PYTHONUNBUFFERED"], words["MORE"]) == ("1", "of this")
        assert "HOTPATH_SECRET" not in words
    project.inside(act)


def test_its_user_has_a_name_whoever_it_is(docker_python, tmp_path):
    with home(tmp_path / "data", user="1234:5678") as project:
        def act(running):
            said = shell(running, "id; touch made; python3 -c 'import os, pwd; print(pwd.getpwuid(os.getuid()))'")
            assert "uid=1234(user) gid=5678(user)" in said
            assert "pw_dir='/workspace'" in said
        project.inside(act)
        made = (project.files / "made").stat()
        assert (made.st_uid, made.st_gid) == (1234, 5678)


ATTACKS = r"""
id -u; id -G
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
touch /etc/mine 2> /dev/null && echo wrote /etc
touch /usr/bin/mine 2> /dev/null && echo wrote /usr
test -e "$1" && echo sees "$1"
test -S /var/run/docker.sock && echo sees the engine
mount -t tmpfs none /mnt 2> /dev/null && echo mounted
unshare -Ur true 2> /dev/null && echo unshared
mknod /tmp/disk b 8 0 2> /dev/null && echo made a device
chown 0 . 2> /dev/null && echo gave away
echo 1 2> /dev/null > /proc/sys/kernel/core_pattern && echo wrote /proc/sys
ls /sys/class/net | tr '\n' ' '
"""


def test_it_is_nobody_sees_nothing_and_may_nothing(project):
    def act(running):
        said, _ = output(running, "sh", "-c", ATTACKS, "sh", str(project.files))
        lines = [" ".join(line.split()) for line in said.splitlines()]
        none = [f"Cap{kind}: 0000000000000000" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
        assert lines == ["1000", "1000", *none, "NoNewPrivs: 1", "Seccomp: 2", "lo"]
    project.inside(act)


def test_files_are_the_projects_own_on_both_sides(project):
    (project.files / "ours.txt").write_text("ours")

    def act(running):
        assert shell(running, "cat ours.txt; echo theirs > theirs.txt") == "ours"
    project.inside(act)
    assert (project.files / "theirs.txt").read_text() == "theirs\n"
    assert (project.files / "theirs.txt").stat().st_uid == project.config.sandbox.ids[0]


@pytest.mark.parametrize(("script", "status"), [
    ("exit 0", 0), ("exit 3", 3), ("exit 128", 128), ("no-such-command", 127), ("kill -TERM $$", -signal.SIGTERM),
    ("kill -9 $$", -signal.SIGKILL)])
def test_its_status_is_told(project, script, status):
    assert project.inside(lambda running: output(running, "sh", "-c", script))[1] == status


def test_a_command_that_is_not_there_says_so_on_its_terminal(project):
    said, status = project.inside(lambda running: output(running, "/no/such/program"))
    assert "not found" in said
    assert status == 127


def test_no_byte_of_a_program_that_ends_at_once_is_lost(project):
    def act(running):
        def one(i):
            assert output(running, "printf", f"first {i} last") == (f"first {i} last", 0)
        for i in range(0, 60, 6):
            tasks = [spawn(one, i + j) for j in range(6)]
            for task in tasks:
                task.result()
    project.inside(act)


SIZES = """
import os, signal
changed = {signal.SIGWINCH}
signal.pthread_sigmask(signal.SIG_BLOCK, changed)   # a handler could miss one that comes as it begins to wait
while True:
    print(os.get_terminal_size(), flush=True)
    signal.sigwait(changed)
"""


def test_the_last_of_many_sizes_holds(project):
    def act(running):
        with Screen(running.spawn(["python3", "-c", SIZES], 80, 24)) as screen:
            for cols in range(90, 101):
                screen.spawned.resize(cols, 40)         # before it looks
            screen.until("columns=100, lines=40")
            for cols in range(101, 121):
                screen.spawned.resize(cols, 40)
            screen.until("columns=120, lines=40")
            screen.sock.shutdown(socket.SHUT_RDWR)
            screen.spawned.kill(signal.SIGKILL)
            assert screen.status() == -signal.SIGKILL
            screen.spawned.resize(1, 1)     # of one that is gone: nothing
    project.inside(act)


def processes(running):
    return shell(running, "ps -e -o args=")


@pytest.mark.parametrize("from_outside", [True, False])
def test_a_signal_reaches_the_job_in_the_foreground_too(project, from_outside):
    def act(running):
        with Screen(running.spawn(["bash", "-i"], 80, 24)) as screen:
            screen.until("$ ")
            screen.type("sleep 4321\n")
            until(lambda: "sleep 4321" in processes(running), "the job")
            if not from_outside:
                screen.spawned._pid = 0     # as where the engine counts processes that we do not see
            # Closing the stream ends nothing.
            screen.sock.shutdown(socket.SHUT_RDWR)
            assert "sleep 4321" in processes(running)
            screen.spawned.kill(signal.SIGKILL)
            assert screen.status() == -signal.SIGKILL
            until(lambda: "sleep 4321" not in processes(running), "the job's end")
            screen.spawned.kill(signal.SIGKILL)     # of one that is gone: nothing
    project.inside(act)


def test_the_end_of_a_shell_is_told_though_its_terminal_is_in_use(project):
    def act(running):
        with Screen(running.spawn(["sh", "-c", "trap '' HUP; sleep 1234 & exit 5"], 80, 24)) as screen:
            assert screen.status() == 5
        shell(running, "kill $(ps -e -o pid=,args= | awk '/[s]leep 1234/ {print $1}')")
    project.inside(act)


LISTENER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], int(sys.argv[2])), family=family) as listener:
    while True:
        peer, _ = listener.accept()
        with peer:
            said = b""
            while data := peer.recv(65536):
                said += data
            peer.sendall(said[::-1])
"""


def reversed_by(fd, data):
    with socket.socket(fileno=fd) as sock:
        assert not os.get_blocking(fd)
        send(sock, data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := receive(sock, 65536):
            answer += piece
        return answer


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 8000), ("0.0.0.0", 8001), ("::1", 8002)])
def test_its_ports_are_found_and_reached_without_a_network(project, host, port):
    data = os.urandom(300_000)

    def act(running):
        assert running.ports() == []
        with pytest.raises(ConnectionRefusedError, match=str(port)):
            running.connect(port)
        with Screen(running.spawn(["python3", "-c", LISTENER, host, str(port)], 80, 24)):
            ports = until(running.ports, "the listener")
            assert [(one.port, one.process) for one in ports] == [(port, "python3")]
            assert reversed_by(running.connect(port), data) == data[::-1]
            # As where the server may not enter the container's network.
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            assert reversed_by(relayed(running.place, port, family), data) == data[::-1]
        until(lambda: not running.ports(), "its end")
    project.inside(act)


def test_no_program_in_it_ends_the_container(project):
    def act(running):
        with Screen(running.spawn(["sh", "-c", "kill -9 1; kill -9 -1; echo still here"], 80, 24)) as screen:
            screen.until("still here")
        assert shell(running, "echo too") == "too\n"
        assert not running.gone.is_set
    project.inside(act)


def test_a_server_that_is_not_root_gets_by(docker_python):
    with tempfile.TemporaryDirectory(prefix="hotpath-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        line = Line(Path(folder))
        os.chmod(line.path, 0o666)
        with home(Path(folder, "data"), docker_host=line.url) as project:
            os.chown(project.config.folder, 1000, 1000)
            as_user(1000, lambda: project.inside(act_as_user))


def act_as_user(running):
    data = os.urandom(1000)
    with Screen(running.spawn(["python3", "-c", LISTENER, "127.0.0.1", "8000"], 80, 24)) as screen:
        until(running.ports, "the listener")
        with pytest.raises(PermissionError):
            running._network.connect(8000, socket.AF_INET)
        assert reversed_by(running.connect(8000), data) == data[::-1]
        screen.spawned.kill(signal.SIGTERM)
        assert screen.status() == -signal.SIGTERM


def as_user(uid, act):
    """`act()` in a child that is that user."""
    import docker  # noqa: F401   a file of ours may be out of that user's reach
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            act()
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        failed = pipe.read()
    os.waitpid(pid, 0)
    assert not failed, failed


def test_a_relay_whose_user_left_leaves_nothing_running(project):
    def act(running):
        with Screen(running.spawn(["python3", "-c", LISTENER, "127.0.0.1", "8003"], 80, 24)):
            until(running.ports, "the listener")
            os.close(relayed(running.place, 8003, socket.AF_INET))
            until(lambda: "create_connection" not in processes(running), "the relay's end")
    project.inside(act)
