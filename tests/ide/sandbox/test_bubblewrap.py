"""Programs in a bubblewrap sandbox: they work, and see and reach nothing of the machine."""
import json
import os
import signal
import socket
import time

import pytest

from hotpath.core.errors import ConfigError
from hotpath.ide.config import IdeConfig, SandboxConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox.choosing import open_sandbox, trouble
from tests.ide.paths import public_folder
from tests.ide.sandbox.world import BOMB, SMALL, Shell, spec, world_of
from tests.waiting import is_alive, wait_for

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users, or make control groups")


@pytest.fixture(scope="module")
def there():
    with world_of(SMALL, open_sandbox) as (world, sandbox):
        assert sandbox.kind == "bubblewrap"
        yield world, sandbox


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """0700, as pytest makes it: the user of the sandbox cannot walk there by himself."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def public():
    with public_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def project(world, sandbox, base):
    running = world.do(sandbox.start, spec(base))
    yield running
    world.do(running.stop)


@pytest.fixture(scope="module")
def other(world, sandbox, base):
    """Another project, whose secrets and peace the first must leave alone."""
    running = world.do(sandbox.start, spec(base, "otherotherot"))
    world.sh(running, "echo secret > secret.txt")
    yield running
    world.do(running.stop)


# ------------------------------------------------------------------------------------------------------------ it works


def test_a_program_says_what_it_has_to_say_and_how_it_ended(world, project):
    assert world.try_sh(project, "echo hello; exit 3") == (3, "hello\n")
    assert world.try_sh(project, "kill -KILL $$")[0] == -signal.SIGKILL


def test_all_of_a_short_programs_output_arrives(world, project):
    for _ in range(5):
        assert world.sh(project, "seq 3000").split() == [str(i) for i in range(1, 3001)]


def test_it_has_a_terminal_with_job_control_and_a_size(world, project):
    with world.spawn(project, "bash", "--norc", "-i") as shell:
        shell.type("stty size; tty; echo $HOME $USER $TERM $LANG\n")
        shell.wait_for("/workspace user xterm-256color C.UTF-8\n")
        assert "24 80\n/dev/pts/" in shell.text
        shell.spawned.resize(132, 43)
        shell.type("stty size\n")
        shell.wait_for("43 132\n")
        shell.type("sh -c 'echo be''gun; exec sleep 1000'\n")
        shell.wait_for("begun\n")
        shell.type("\x1a")
        shell.wait_for("Stopped")
        shell.type("kill -KILL %1; sh -c 'echo an''other; exec sleep 1000'\n")
        shell.wait_for("another\n")
        shell.type("\x03")
        shell.type("echo in''terrupted\n")
        shell.wait_for("interrupted\n")


def test_two_files_are_one(world, project, base):
    files = base / "projects" / "abcdefghijkl" / "files"
    world.sh(project, "echo inside > x.txt; pwd | grep -qx /workspace")
    assert (files / "x.txt").read_text() == "inside\n"
    (files / "x.txt").write_text("outside\n")
    assert world.sh(project, "cat x.txt") == "outside\n"


def test_files_belong_to_the_user_of_the_sandbox(world, project, base, sandbox):
    world.sh(project, "touch mine")
    found = (base / "projects" / "abcdefghijkl" / "files" / "mine").stat()
    assert (found.st_uid, found.st_gid) == (sandbox.user or (os.getuid(), os.getgid()))
    assert found.st_uid != 0


def test_the_environment_is_its_own(world, project, monkeypatch):
    monkeypatch.setenv("HOTPATH_SECRET", "do not tell")
    env = dict(line.split("=", 1) for line in world.sh(project, "env").splitlines())
    assert "HOTPATH_SECRET" not in env
    assert env["PATH"].startswith("/workspace/.venv/bin:/usr/local/sbin:")
    assert env["PYTHONUNBUFFERED"] == "1"
    with world.spawn(project, "sh", "-c", "echo $WORD", env={"WORD": "given"}) as shell:
        assert shell.end() == (0, "given\n")


def test_what_cannot_be_started_says_so(world, project):
    with pytest.raises(SandboxFailed, match=r"no-such-program in .*: cannot start: No such file"):
        world.spawn(project, "no-such-program")
    with pytest.raises(SandboxFailed, match="cannot start"):
        world.spawn(project, "/etc/passwd")


def test_kill_reaches_the_whole_session(world, project):
    with world.spawn(project, "bash", "--norc", "-i") as shell:
        shell.type("trap '' HUP; sleep 4321 & sleep 4322 & sh -c 'sleep 4323; :'\n")
        wait_for(lambda: world.sh(project, "ps -eo args").count("sleep 432") >= 4, "the jobs")
        shell.spawned.kill(signal.SIGKILL)
        assert shell.end()[0] == -signal.SIGKILL
        wait_for(lambda: "sleep 432" not in world.sh(project, "ps -eo args"), "their end")
        shell.spawned.kill(signal.SIGKILL)      # of one that is gone: nothing
        shell.spawned.resize(1, 1)


def test_nobody_is_left_a_zombie(world, project):
    world.sh(project, "(setsid sleep 0.01 & setsid true &) ; :")
    wait_for(lambda: "<defunct>" not in world.sh(project, "ps -eo args"), "the reaping of orphans")


# ---------------------------------------------------------------------------------------------- it sees nothing of ours

LOOK = """
import ctypes, errno, glob, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(fn):
    try:
        fn()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "worked"
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
def connect(family, address):
    with socket.socket(family) as sock:
        sock.settimeout(2)
        sock.connect(address)
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
mounts = {line.split()[4]: line.split()[5] for line in open("/proc/self/mountinfo")}
print(json.dumps({
    "interfaces": [name for _, name in socket.if_nameindex()],
    "loopback": tried(lambda: connect(socket.AF_INET, ("127.0.0.1", PORT))),
    "outside": tried(lambda: connect(socket.AF_INET, ("192.0.2.1", 80))),
    "abstract": tried(lambda: connect(socket.AF_UNIX, "\\0ABSTRACT")),
    "shadow": tried(lambda: open("/etc/shadow")), "root": tried(lambda: os.listdir("/root")),
    "home": tried(lambda: os.listdir("/home")), "data": tried(lambda: os.listdir("DATA")),
    "other": tried(lambda: open("DATA/projects/otherotherot/files/secret.txt")),
    "sys": tried(lambda: os.listdir("/sys")), "run": tried(lambda: os.listdir("/run")),
    "up": sorted(os.listdir("/workspace/..")),
    "pids": [int(pid) for pid in os.listdir("/proc") if pid.isdigit()],
    "first": open("/proc/1/cmdline").read(),
    "userns": tried(lambda: call(272, 0x10000000)), "mountns": tried(lambda: call(272, 0x20000)),
    "mount": tried(lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0)),
    "chroot": tried(lambda: os.chroot("/tmp")), "mknod": tried(lambda: os.mknod("/tmp/sda", 0o60600, os.makedev(8, 0))),
    "setuid": tried(lambda: os.setuid(0)), "nice": tried(lambda: os.nice(-10)),
    "caps": sorted({status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}),
    "privileges": status["NoNewPrivs"].strip(), "groups": status["Groups"].strip(),
    "usr": mounts["/usr"], "workspace": mounts["/workspace"],
    "writes": [tried(lambda: open(f"/{place}/x", "w")) for place in ("", "usr", "etc", "dev", "var", "proc")],
    "sysctl": tried(lambda: os.write(os.open("/proc/sys/kernel/hostname", os.O_WRONLY), b"x")),
    "oom": tried(lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")),
}))
"""


@pytest.fixture(scope="module")
def seen(world, project, other, base):
    with socket.create_server(("127.0.0.1", 0)) as service, socket.socket(socket.AF_UNIX) as abstract:
        name = f"hotpath-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = str(service.getsockname()[1])
        script = LOOK.replace("PORT", port).replace("ABSTRACT", name).replace("DATA", str(base))
        return json.loads(world.python(project, script))


def test_no_network_but_its_own_loopback(seen):
    assert seen["interfaces"] == ["lo"]
    assert seen["loopback"] == "ECONNREFUSED"
    assert seen["outside"] == "ENETUNREACH"
    assert seen["abstract"] == "ECONNREFUSED"


def test_no_file_of_the_machine_or_of_another_project(seen):
    assert {seen[name] for name in ("shadow", "root", "home", "data", "other", "sys", "run")} == {"ENOENT"}
    assert set(seen["up"]) <= {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr",
                               "var", "workspace"}


def test_no_process_but_its_own(seen):
    assert len(seen["pids"]) < 12
    assert os.getpid() not in seen["pids"] or os.getpid() < 20
    assert seen["first"].startswith("/bin/sh\0")


def test_no_rights_and_no_way_to_gain_any(seen):
    assert seen["caps"] == ["0" * 16]
    assert seen["privileges"] == "1"
    assert seen["groups"] == ""
    assert seen["userns"] in ("EPERM", "ENOSPC")
    assert {seen[name] for name in ("mountns", "mount", "chroot", "mknod")} == {"EPERM"}
    assert seen["setuid"] in ("EPERM", "EINVAL")
    assert seen["nice"] in ("EPERM", "EACCES")
    assert seen["oom"] in ("EPERM", "EACCES")
    assert "nosuid" in seen["usr"]
    assert "nosuid" in seen["workspace"]
    assert "nodev" in seen["workspace"]


def test_nothing_can_be_written_but_its_own_files(seen):
    assert set(seen["writes"]) <= {"EROFS", "EACCES", "ENOENT", "EPERM"}
    assert seen["sysctl"] in ("EROFS", "EACCES", "EPERM")


def test_no_terminal_types_into_another(world, project):
    with world.spawn(project, "sh", "-c", "tty; cat") as victim:
        victim.wait_for("/dev/pts/")
        place = victim.text.strip()
        script = f"""
import errno, fcntl, os, termios
fd = os.open({place!r}, os.O_RDWR | os.O_NOCTTY)
try:
    fcntl.ioctl(fd, termios.TIOCSTI, b"x")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
        assert world.python(project, script).strip() in ("EPERM", "EIO")


def test_who_enters_cannot_be_looked_into(world, project, base):
    """Until exec the newcomer is a copy of the server, with all it knows."""
    script = f"""
import glob, os
seen = set()
while not os.path.exists("stop"):
    for place in glob.glob("/proc/[0-9]*"):
        for name in ("environ", "maps", "fd"):
            try:
                if name == "fd":
                    names = os.listdir(place + "/fd")
                    links = [os.readlink(place + "/fd/" + one) for one in names]
                    if any("pytest" in link or "{base}" in link for link in links):
                        seen.add("fd")
                else:
                    with open(place + "/" + name, "rb") as file:
                        if b"pytest" in file.read().lower():
                            seen.add(name)
            except OSError:
                pass
    if "ready" not in seen:
        seen.add("ready")
        print("ready", flush=True)
print(sorted(seen))
"""
    with world.spawn(project, "python3", "-c", script) as spy:
        spy.wait_for("ready")
        for _ in range(20):
            world.sh(project, "true")
        world.sh(project, "touch stop")
        assert spy.end()[1].splitlines()[-1] == "['ready']"


# --------------------------------------------------------------------------------------------- it takes nothing of ours


def test_a_memory_hog_is_refused_memory_or_ended(world, project):
    status, said = world.try_sh(project, """python3 -c '
try:
    hog = bytearray(b"x" * 1024) * (1024 * 300)
    print("has it")
except MemoryError:
    print("refused")
'""")
    assert (status, said) == (0, "refused\n") or (status == 137 and "has it" not in said)
    assert world.sh(project, "echo fine") == "fine\n"
    assert world.python(project, """
try:
    hog = bytearray(2 << 30)
except MemoryError:
    print("refused")
""") == "refused\n"


@AS_ROOT
def test_many_small_hogs_are_ended_and_the_project_goes_on(world, project, other):
    with world.spawn(project, "python3", "-c", """
import os, time
for _ in range(8):
    if os.fork() == 0:
        hog = bytearray(os.urandom(1024)) * (60 * 1024)
        time.sleep(1000)
while True:
    print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
""") as hogs:
        hogs.wait_for("ended -9")
        assert world.sh(other, "echo fine") == "fine\n"
    assert world.sh(project, "echo fine") == "fine\n"
    assert not project.gone.is_set


def test_a_fork_bomb_stays_in_its_project(world, project, other):
    with world.spawn(project, "python3", "-c", BOMB) as bomb:
        bomb.read(lambda text: text.endswith("\n"), "the end of forking")
        assert int(bomb.text.split()[1]) <= SMALL.pids
        assert world.sh(other, "sh -c 'echo fine'") == "fine\n"
        with world.spawn(project, "bash", "--norc", "-i") as rescue:      # there is still a way in
            rescue.type("echo he''re\n")
            rescue.wait_for("here\n")
    wait_for(lambda: world.try_sh(project, "sh -c 'echo fine'")[1] == "fine\n", "an end of the bomb")


def test_files_have_a_largest_size(world, project):
    status, said = world.try_sh(project, "head -c 3000000 /dev/zero > big; echo $?; wc -c < big; rm big")
    assert status == 0
    assert said.split()[-1] == str(SMALL.file_size)


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/var/tmp"])
def test_what_is_memory_has_an_end(world, project, place):
    fill = f"for i in 1 2 3; do head -c 1500000 /dev/zero > {place}/$i; done"
    said = world.sh(project, f"{fill}; du -sk {place}/; rm {place}/?")
    assert "No space left" in said
    assert int(said.split()[-2]) <= SMALL.tmp // 1024


def test_descriptors_have_an_end(world, project, other):
    said = world.python(project, """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
n = 0
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
        n += 1
except OSError as error:
    print(n, error.errno)
""")
    assert int(said.split()[0]) < SMALL.nofile
    assert world.sh(other, "echo fine") == "fine\n"


def test_terminals_have_an_end(world, project, other):
    with world.spawn(project, "python3", "-c", """
import os, time
n = 0
try:
    while True:
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        n += 1
except OSError as error:
    print(n, flush=True)
time.sleep(1000)
""") as eater:
        eater.wait_for("\n")
        assert int(eater.text) < 64
        assert world.sh(other, "echo fine") == "fine\n"
        with pytest.raises(SandboxFailed, match="cannot open a terminal"):
            world.spawn(project, "true")
        eater.spawned.kill(signal.SIGKILL)
        world.do(eater.spawned.wait)            # the next test has this project, too


def test_it_cannot_raise_its_limits(world, project):
    said = world.python(project, """
import resource
for name in ("DATA", "NPROC", "NOFILE", "FSIZE", "STACK", "CORE"):
    kind = getattr(resource, "RLIMIT_" + name)
    try:
        resource.setrlimit(kind, (resource.getrlimit(kind)[1] + 1,) * 2)
        print(name, "raised")
    except (ValueError, OSError):
        pass
print("done")
""")
    assert said == "done\n"


def test_killing_all_ends_no_sandbox(world, project):
    with world.spawn(project, "sh", "-c", "kill -KILL -1; kill -KILL 1; echo still here; sleep 1000") as shell:
        shell.wait_for("still here")
    assert world.sh(project, "echo fine") == "fine\n"
    assert not project.gone.is_set


# ---------------------------------------------------------------------------------------------------------- its network

LISTEN = """
import socket, time
sock = socket.create_server(ADDRESS, family=socket.FAMILY)
print("listening", sock.getsockname()[1], flush=True)
while True:
    peer = sock.accept()[0]
    peer.sendall(b"hello from inside")
    peer.close()
"""


def listening(world, running, address="('127.0.0.1', 0)", family="AF_INET"):
    shell = world.spawn(running, "python3", "-c", LISTEN.replace("ADDRESS", address).replace("FAMILY", family))
    shell.read(lambda text: text.endswith("\n"), "a port")
    return shell, int(shell.text.split()[1])


@pytest.mark.parametrize(("address", "family"), [
    ("('127.0.0.1', 0)", "AF_INET"), ("('0.0.0.0', 0)", "AF_INET"),
    ("('::1', 0)", "AF_INET6"), ("('::', 0)", "AF_INET6")])
def test_its_ports_are_found_and_can_be_connected_to(world, project, address, family):
    shell, port = listening(world, project, address, family)
    with shell:
        assert [(one.port, one.process) for one in world.do(project.ports)] == [(port, "python3")]
        for _ in range(12):
            fd = world.do(project.connect, port)
            assert not os.get_blocking(fd)
            with socket.socket(fileno=fd) as sock:
                sock.setblocking(True)
                assert sock.recv(100) == b"hello from inside"
    wait_for(lambda: not world.do(project.ports), "the end of the port")
    with pytest.raises(ConnectionRefusedError):
        world.do(project.connect, port)


def test_the_same_port_of_two_projects_is_two(world, project, other):
    first, port = listening(world, project)
    second, _ = listening(world, other, f"('127.0.0.1', {port})")
    with first, second:
        assert [one.port for one in world.do(other.ports)] == [port]
    with socket.create_server(("127.0.0.1", 0)) as ours, pytest.raises(ConnectionRefusedError):
        world.do(project.connect, ours.getsockname()[1])


def test_a_one_shot_sandbox_has_the_network_and_the_files(world, sandbox, project, base):
    with socket.create_server(("127.0.0.1", 0)) as service:
        command = f"""exec 2>&1; cat /etc/resolv.conf > /dev/null; test -d /etc/ssl/certs; echo once > made
python3 -c 'import socket; socket.create_connection(("127.0.0.1", {service.getsockname()[1]})); print("reached")'"""
        with Shell(world, world.do(sandbox.once, spec(base), ("sh", "-c", command), 80, 24, {})) as shell:
            assert shell.end() == (0, "reached\n")
    assert world.sh(project, "cat made") == "once\n"
    wait_for(lambda: len(sandbox.running) <= 2, "its end")


def test_a_one_shot_sandbox_sees_no_more_than_a_project_does(world, sandbox, base):
    command = "ls /etc/shadow /root /home; ps -e | wc -l; grep CapEff /proc/self/status"
    with Shell(world, world.do(sandbox.once, spec(base), ("sh", "-c", command), 80, 24, {})) as shell:
        _, said = shell.end()
    assert said.count("No such file") == 3
    assert int(said.split("\n")[3]) < 10
    assert said.endswith("0000000000000000\n")


# -------------------------------------------------------------------------------------------------------- how it ends


def test_stopping_ends_everything(world, sandbox, base):
    running = world.do(sandbox.start, spec(base, "stoppedstopp"))
    with world.spawn(running, "sh", "-c", "setsid sleep 9999 & trap '' TERM HUP; echo go; sleep 9999") as shell:
        shell.wait_for("go")
        world.do(running.stop)
        assert running.gone.is_set
        assert running.why == ""
        assert not is_alive(running.pid)
        assert shell.end()[0] == -signal.SIGKILL
    with pytest.raises(SandboxFailed, match="has ended"):
        world.spawn(running, "true")
    assert world.do(running.ports) == []
    with pytest.raises(ConnectionRefusedError):
        world.do(running.connect, 80)
    world.do(running.stop)


def test_one_that_ends_by_itself_says_so(world, sandbox, base):
    running = world.do(sandbox.start, spec(base, "killedkilled"))
    os.kill(running.pid, signal.SIGKILL)
    world.do(running.gone.wait)
    assert "ended" in running.why


def test_it_starts_again_and_again_on_the_same_files(world, sandbox, base):
    for i in range(4):
        running = world.do(sandbox.start, spec(base, "againagainag"))
        world.sh(running, f"echo {i} >> log")
        world.do(running.stop)
    assert (base / "projects" / "againagainag" / "files" / "log").read_text() == "0\n1\n2\n3\n"


def test_a_start_that_fails_says_what_is_wrong(world, sandbox, base):
    gone = spec(base, "vanishedvani")
    gone.files.rmdir()
    with pytest.raises(SandboxFailed, match="No such file"):
        world.do(sandbox.start, gone)
    gone.files.symlink_to("/etc")
    with pytest.raises(SandboxFailed):
        world.do(sandbox.start, gone)


def test_nothing_is_left_open(world, sandbox, base):
    def n_open():
        return len(os.listdir("/proc/self/fd"))

    def once():
        running = world.do(sandbox.start, spec(base, "countedcount"))
        world.sh(running, "true")
        shell, port = listening(world, running)
        with shell:
            os.close(world.do(running.connect, port))
        with pytest.raises(SandboxFailed):
            world.spawn(running, "nothing-of-that-name")
        world.do(running.stop)

    once()
    before = n_open()
    for _ in range(3):
        once()
    wait_for(lambda: n_open() <= before, "descriptors to be closed")


def test_a_server_that_is_killed_takes_its_sandboxes_along(tmp_path):
    reading, writing = os.pipe()
    server = os.fork()
    if server == 0:
        try:
            with world_of(SMALL, open_sandbox) as (world, sandbox):
                running = world.do(sandbox.start, spec(tmp_path))
                shell = world.spawn(running, "sh", "-c", "echo go; sleep 9999")
                shell.wait_for("go")
                os.write(writing, f"{running.pid} {shell.spawned.child.pid}\n".encode())
                time.sleep(1000)
        finally:
            os._exit(1)
    try:
        pids = [int(pid) for pid in os.read(reading, 100).split()]
        assert len(pids) == 2
        assert all(is_alive(pid) for pid in pids)
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.close(reading)
        os.close(writing)
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "the end of its sandboxes")


@AS_ROOT
def test_a_server_that_is_not_root_does_the_same(public):
    """In a child that becomes another user: what it imported it has."""
    base = public / "data"
    base.mkdir()
    os.chown(base, 1234, 1234)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "failed"
        try:
            os.setgroups([])
            os.setresgid(1234, 1234, 1234)
            os.setresuid(1234, 1234, 1234)
            with world_of(SMALL, open_sandbox) as (world, sandbox):
                running = world.do(sandbox.start, spec(base))
                said = f"{sandbox.kind} {world.sh(running, 'id -u; grep CapEff /proc/self/status; touch x')}"
                shell, port = listening(world, running)
                with shell:
                    os.close(world.do(running.connect, port))
                    said += f"{world.do(running.ports)[0].process}"
                world.do(running.stop)
        except BaseException as error:
            said = repr(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as answer:
        assert answer.read().split() == ["bubblewrap", "1000", "CapEff:", "0" * 16, "python3"]
    assert (base / "projects" / "abcdefghijkl" / "files" / "x").stat().st_uid == 1234


def test_a_sandbox_that_ended_while_a_connection_was_tried_lends_no_socket_of_the_machine(world, sandbox, base):
    running = world.do(sandbox.start, spec(base, "endedendeden"))
    world.do(running.stop)
    for family in (socket.AF_INET, socket.AF_INET6):
        with pytest.raises(ConnectionRefusedError):
            world.do(running._socket, family)


def test_bubblewrap_is_tried_for_real(monkeypatch, public):
    assert trouble(IdeConfig()) is None
    monkeypatch.setattr("hotpath.ide.sandbox.choosing.PATH", (str(public),))
    monkeypatch.setattr("hotpath.ide.sandbox.environment.PATH", (str(public),))
    assert "not installed" in (trouble(IdeConfig()) or "")
    (public / "bwrap").write_text("#!/bin/sh\necho bwrap: no permission to make a namespace >&2; exit 1\n")
    (public / "bwrap").chmod(0o755)
    assert (trouble(IdeConfig()) or "").endswith("no permission to make a namespace")
    assert open_sandbox(IdeConfig()).kind == "process"
    with pytest.raises(ConfigError, match="no permission"):
        open_sandbox(IdeConfig(sandbox=SandboxConfig(kind="bubblewrap")))
