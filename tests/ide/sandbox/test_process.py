"""Programs of a project without a sandbox: another user, limited, and all of them found again."""
import os
import signal
import socket
import subprocess

import msgspec
import pytest

from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox.process import MARK, Processes, barrier
from hotpath.ide.templates import Template
from tests.ide.paths import public_folder
from tests.ide.sandbox.world import BOMB, SMALL, Shell, spec, world_of
from tests.waiting import is_alive, wait_for

# A user that no other test has: without control groups the kernel counts all of his processes.
UID = 64317
MINE = msgspec.structs.replace(SMALL, user=f"{UID}:{UID}")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


@pytest.fixture(scope="module")
def there():
    """Without control groups: what holds then is what holds everywhere."""
    with world_of(MINE, lambda config: Processes(config, None)) as (world, sandbox):
        yield world, sandbox


@pytest.fixture(scope="module")
def base():
    with public_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def project(world, sandbox, base):
    running = world.do(sandbox.start, spec(base))
    yield running
    world.do(running.stop)


def test_it_runs_in_the_projects_folder_as_the_user(world, project, sandbox, base):
    files = base / "projects" / "abcdefghijkl" / "files"
    said = world.sh(project, "id -u; id -G; pwd; echo $HOME; tty; touch x; exit 0").split("\n")
    uid, gid = sandbox.user or (os.getuid(), os.getgid())
    assert said[0] == str(uid)
    assert sandbox.user is None or said[1] == str(gid)
    assert said[2] == said[3] == str(files)
    assert said[4].startswith("/dev/pts/")
    assert (files / "x").stat().st_uid == uid
    assert world.try_sh(project, "exit 7")[0] == 7


def test_it_has_no_rights_and_nothing_of_ours(world, project, monkeypatch):
    monkeypatch.setenv("HOTPATH_SECRET", "do not tell")
    said = world.sh(project, "env; cat /proc/self/status; ls -l /proc/self/fd")
    assert "do not tell" not in said
    for line in ("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in said
    fds = world.python(project, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")
    assert fds == "[0, 1, 2, 3]\n"          # the last one is the listing's own


def test_its_limits(world, project):
    assert world.python(project, """
import resource
try:
    hog = bytearray(400 * 1024 * 1024)
except MemoryError:
    print("refused", resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.getrlimit(resource.RLIMIT_FSIZE)[0])
""").split() == ["refused", str(SMALL.nofile), str(SMALL.file_size)]


def test_a_fork_bomb_ends(world, project):
    with world.spawn(project, "python3", "-c", BOMB) as bomb:
        bomb.read(lambda text: text.endswith("\n"), "the end of forking")
        assert 0 < int(bomb.text.split()[1]) <= SMALL.pids
    wait_for(lambda: world.try_sh(project, "sh -c 'echo fine'")[1] == "fine\n", "an end of the bomb")


def test_only_its_own_ports_are_seen_and_reached(world, project):
    script = ("import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
              "s.accept()[0].sendall(b'inside'); time.sleep(1000)")
    with socket.create_server(("127.0.0.1", 0)) as ours, world.spawn(project, "python3", "-c", script) as shell:
        shell.read(lambda text: text.endswith("\n"), "a port")
        port = int(shell.text)
        assert [(one.port, one.process) for one in world.do(project.ports)] == [(port, "python3")]
        with pytest.raises(ConnectionRefusedError):
            world.do(project.connect, ours.getsockname()[1])
        with socket.socket(fileno=world.do(project.connect, port)) as sock:
            sock.setblocking(True)
            assert sock.recv(100) == b"inside"


def test_what_a_child_has_of_ours_is_no_port_of_the_project(world, project):
    """As between fork and exec: one of its processes still holds a socket on which the server listens."""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        child = subprocess.Popen(["sleep", "1000"], env={MARK: project._mark}, pass_fds=[ours.fileno()],
                                 user=project._maker.uid)
        try:
            for fd in project._group.open() if project._group is not None else ():
                os.write(fd, b"%d" % child.pid)
                os.close(fd)
            assert child.pid in project._pids()
            assert world.do(project.ports) == []
            with pytest.raises(ConnectionRefusedError):
                world.do(project.connect, ours.getsockname()[1])
        finally:
            child.kill()
            child.wait()


def test_stopping_finds_what_left_its_terminal(world, sandbox, base):
    running = world.do(sandbox.start, spec(base, "stoppedstopp"))
    with world.spawn(running, "sh", "-c", "setsid sleep 9998 & echo $!; trap '' HUP TERM; sleep 9997") as shell:
        shell.read(lambda text: text.endswith("\n"), "a pid")
        assert is_alive(int(shell.text))
        world.do(running.stop)
        assert running.gone.is_set
        assert not is_alive(int(shell.text))
        assert shell.end()[0] == -signal.SIGKILL
    with pytest.raises(SandboxFailed, match="was stopped"):
        world.spawn(running, "true")


def test_what_a_killed_server_left_behind_is_ended_at_the_next_start(world, sandbox, base):
    mine, theirs = spec(base, "orphanorphan"), spec(base, "otherotherot")
    first = world.do(sandbox.start, mine)
    second = world.do(sandbox.start, theirs)
    with world.spawn(first, "sleep", "9996") as orphan, world.spawn(second, "sleep", "9996") as other:
        assert world.do(sandbox.adopt, [mine]) == {}
        assert orphan.end()[0] == -signal.SIGKILL
        assert is_alive(other.spawned.child.pid)
    world.do(first.stop)
    world.do(second.stop)


def test_a_one_shot_program_leaves_nothing_and_ends_nothing_else(world, sandbox, project, base):
    with world.spawn(project, "sleep", "9995") as other:
        once = world.do(sandbox.once, spec(base), ("sh", "-c", "setsid sleep 9994 & echo $!"), 80, 24, {})
        with Shell(world, once) as shell:
            status, said = shell.end()
        assert status == 0
        wait_for(lambda: not is_alive(int(said)), "the end of what it left")
        assert is_alive(other.spawned.child.pid)


@AS_ROOT
def test_a_folder_that_the_user_cannot_reach_is_said(world, sandbox, base):
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SandboxFailed, match=f"{UID}:{UID} cannot reach .*: chmod o\\+x {closed}"):
        world.do(sandbox.start, spec(closed))
    assert barrier(base, UID, UID) is None


@AS_ROOT
def test_files_of_another_owner_become_the_users(world, sandbox, base, tmp_path):
    where = spec(base, "givengivengi")
    (where.files / "folder").mkdir()
    (where.files / "folder" / "x").write_text("x")
    kept = tmp_path / "kept"
    kept.write_text("not of the project")
    (where.files / "link").symlink_to(kept)
    os.link(kept, where.files / "twin")
    running = world.do(sandbox.start, where)
    assert (where.files / "folder" / "x").stat().st_uid == UID
    assert (where.files / "link").lstat().st_uid == UID
    assert kept.stat().st_uid == 0
    world.do(running.stop)


def test_the_mark_of_a_project_is_its_own(world, project, base):
    assert f"{MARK}={base}/projects/abcdefghijkl/files" in world.sh(project, "env")


def test_what_is_missing_is_named(sandbox):
    assert sandbox.missing(Template("x", "X", "", needs=("sh", "env"))) is None
    said = sandbox.missing(Template("x", "X", "", needs=("sh", "no-such-thing", "node-of-tomorrow")))
    assert "no-such-thing, node-of-tomorrow not found" in said
    assert "apt-get install no-such-thing node-of-tomorrow" in said


def test_a_server_that_ends_takes_its_programs_along(base):
    reading, writing = os.pipe()
    server = os.fork()
    if server == 0:
        try:
            with world_of(MINE, lambda config: Processes(config, None)) as (world, sandbox):
                shell = world.spawn(world.do(sandbox.start, spec(base, "diesdiesdies")), "sleep", "9993")
                os.write(writing, f"{shell.spawned.child.pid}\n".encode())
                signal.pause()
        finally:
            os._exit(1)
    pid = int(os.read(reading, 100))
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    os.close(reading)
    os.close(writing)
    wait_for(lambda: not is_alive(pid), "the end of its program")
