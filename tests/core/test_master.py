from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import subprocess
import weakref

import pytest

from hotpath.core.crew import PAUSE_MIN_S
from hotpath.core.listen import VARIABLE
from hotpath.core.master import Master
from hotpath.core.successor import READY_VARIABLE
from hotpath.core.worker import DRAIN_SIGNALS
from tests.core.service import Config, Service
from tests.core.serving import COMMAND, Client, ask, services, under_load
from tests.waiting import DEADLINE_S, is_alive, wait_for


@pytest.fixture
def serve(tmp_path):
    with services(tmp_path) as start:
        yield start


def test_it_says_once_where_it_listens_when_every_worker_is_ready(serve, tmp_path):
    service = serve(workers=3, helper=True, listen=["127.0.0.1:0", f"unix:{tmp_path}/socket"])
    port = service.ready()
    output = service.process.read()
    line = f"ready: pid {service.process.pid}, 127.0.0.1:{port}, unix:{tmp_path}/socket\n"
    assert output.count("ready:") == output.count(line) == 1
    assert ask(port)[1] == ask(f"{tmp_path}/socket")[1] == "one"
    for name in ("worker-0", "worker-1", "worker-2", "helper"):
        service.expect(f"started {name} ")
    assert service.stop() == 0
    assert not os.path.exists(f"{tmp_path}/socket")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_a_stop_lets_workers_finish_what_they_have(serve, number):
    service = serve()
    port = service.ready()
    with Client(port) as client:
        pid, _ = client.ask()
        service.signal(number)
        service.expect(rf"signal SIGQUIT worker-\d {pid}$")
        assert client.ask() == (pid, "one")
        wait_for(lambda: refuses(port), "the port to be closed")
    assert service.process.wait() == 0
    assert f"ended worker-0 {pid}" in service.process.output or f"ended worker-1 {pid}" in service.process.output
    assert "retired one" in service.process.output


def refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            return False
    except ConnectionRefusedError:
        return True


def test_a_second_term_stops_at_once(serve):
    service = serve()
    port = service.ready()
    with Client(port) as client:
        pid, _ = client.ask()
        service.signal(signal.SIGTERM)
        service.expect(rf"signal SIGQUIT worker-\d {pid}$")
        service.signal(signal.SIGTERM)
        assert service.process.wait() == 0
    assert f"pid={pid} cause=SIGALRM" in service.process.output


def test_a_third_term_kills(serve):
    service = serve(stubborn=True, grace_s=DEADLINE_S)
    port = service.ready()
    with Client(port) as client:
        pid, _ = client.ask()
        service.signal(signal.SIGTERM)
        service.expect(rf"signal SIGQUIT worker-\d {pid}$")
        service.signal(signal.SIGTERM)
        service.expect(rf"signal SIGALRM worker-\d {pid}$")
        service.signal(signal.SIGTERM)
        assert service.process.wait() == 0
    assert f"pid={pid} cause=SIGKILL" in service.process.output


def test_who_is_still_busy_at_the_drain_deadline_is_hurried_then_killed(serve):
    service = serve(stubborn=True, drain_s=0.2)
    port = service.ready()
    with Client(port) as client:
        pid, _ = client.ask()
        assert service.stop() == 0
    assert f"pid={pid} cause=SIGKILL" in service.process.output
    assert "drain too slow generation=1 now=hurried" in service.process.output
    assert "drain too slow generation=1 now=killed" in service.process.output


def test_usr1_reaches_everybody(serve):
    service = serve(helper=True)
    service.ready()
    service.signal(signal.SIGUSR1)
    service.expect("^reopened by the master$")
    for name in ("worker-0", "worker-1", "helper"):
        service.expect(f"^signal SIGUSR1 {name} ")


def test_what_a_terminal_sends_to_everybody_reaches_only_the_master(serve):
    service = serve(workers=1)
    port = service.ready()
    pid, _ = ask(port)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        os.kill(pid, number)
    assert ask(port)[0] == pid


def test_a_signal_that_comes_before_the_handlers_is_not_lost(serve, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    service = serve(workers=1, gate=gate)
    pid = int(service.expect(r"^waiting worker-0 (?P<pid>\d+)$")["pid"])
    with open(gate, "w"):       # opened by both sides: the worker now waits for our end
        os.kill(pid, signal.SIGUSR1)
        service.signal(signal.SIGTERM)
        service.expect("^stopping$")
    service.expect(rf"^signal SIGUSR1 worker-0 {pid}$")
    service.expect(rf"^signal SIGQUIT worker-0 {pid}$")
    assert service.process.wait() == 0


@pytest.fixture
def master(tmp_path):
    """A master in this process, whose one worker ends with status 3."""
    path = tmp_path / "config.json"
    Config(workers=1, crash=[0]).save(path)
    master = Master(Service(path))
    yield master
    master._close()


def test_a_fork_that_fails_is_tried_again(master, monkeypatch):
    def fork() -> int:
        raise OSError(errno.EAGAIN, "resource temporarily unavailable")

    crew = master._load()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", fork)
        master._fork(crew, crew.slots[0])
    assert crew.slots[0].pid == 0
    assert crew.slots[0].pause_s == PAUSE_MIN_S
    master._fork(crew, crew.slots[0])
    assert os.waitstatus_to_exitcode(os.waitpid(crew.slots[0].pid, 0)[1]) == 3


def test_no_signal_of_the_master_reaches_a_child_that_has_no_handlers_yet(master, monkeypatch):
    blocked = []

    def fork() -> int:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return real_fork()

    real_fork = os.fork
    monkeypatch.setattr(os, "fork", fork)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    crew = master._load()
    master._fork(crew, crew.slots[0])
    os.waitpid(crew.slots[0].pid, 0)
    assert blocked[0] >= {*DRAIN_SIGNALS, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_what_its_caller_froze_stays_frozen_until_a_reload(master):
    class Itself:
        def __init__(self) -> None:
            self.me = self

    itself = Itself()
    gone = weakref.ref(itself)
    gc.collect()
    gc.freeze()
    del itself
    master._load()
    assert gone() is not None
    master._load()
    assert gone() is None


def test_process_one_does_not_hand_over(master, caplog):
    master._current = master._load()
    master._announced, master._pid = True, 1
    master._start_upgrade()
    assert caplog.messages == ["upgrade refused: the end of process 1 ends its container"]


# Reload.

def test_a_reload_brings_new_workers_and_the_old_ones_finish(serve):
    service = serve(helper=True)
    port = service.ready()
    with Client(port) as client:
        old = client.ask()
        service.reload(answer="two", workers=3)
        service.expect("^reloaded generation=2$")
        wait_for(lambda: ask(port)[1] == "two", "the new workers alone to accept")
        assert client.ask() == old
        assert "retired one" not in service.process.read()
    service.expect("^retired one$")
    assert service.stop() == 0              # all have said what they had to
    assert service.process.output.count("ready: ") == 1
    assert service.process.output.count("started helper") == 2


def test_reloads_under_load_fail_no_request(serve):
    service = serve()
    port = service.ready()
    with under_load(port) as load:
        for n in range(5):
            service.reload(answer=f"answer-{n}")
            service.expect(f"^reloaded generation={n + 2}$")
        wait_for(lambda: "answer-4" in load.answers, "the last generation to answer")
    assert load.failures == []


def test_a_reload_opens_new_addresses_and_closes_old_ones(serve, port):
    service = serve()
    old_port = service.ready()
    service.reload(listen=[f"127.0.0.1:{port}"])
    service.expect("^reloaded generation=2$")
    assert ask(port)[1] == "one"
    service.expect("^retired one$")
    assert refuses(old_port)


def test_a_bad_configuration_changes_nothing(serve):
    service = serve()
    port = service.ready()
    before = ask(port)
    service.path.write_text("{")
    service.signal(signal.SIGHUP)
    service.expect(r"^reload failed: .*config.json:1: ")
    service.expect(r"^reload counted: .*config.json:1: ")
    assert ask(port)[1] == before[1]
    service.reload(answer="two")
    service.expect("^retired one$")     # until then an old worker may still take a connection
    assert ask(port)[1] == "two"


def test_an_address_that_is_taken_changes_nothing(serve, port):
    service = serve()
    old_port = service.ready()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        service.reload(listen=[f"127.0.0.1:{port}", taken])
        service.expect(f"^reload counted: {taken}: address already in use$")
    assert ask(old_port)[1] == "one"
    assert refuses(port)


def test_a_fault_in_load_changes_nothing(serve):
    service = serve()
    port = service.ready()
    service.path.write_text('{"no_such_field": 1}')
    service.signal(signal.SIGHUP)
    service.expect("^reload counted: TypeError.*no_such_field")
    assert ask(port)[1] == "one"


def test_new_workers_that_crash_change_nothing(serve, port):
    service = serve()
    old_port = service.ready()
    service.reload(answer="two", crash=[1], listen=["127.0.0.1:0", f"127.0.0.1:{port}"])
    service.expect("^reload counted: worker-1 did not start: exit 3$")
    service.expect("^retired two$")
    assert ask(old_port)[1] == "one"
    assert refuses(port)


def test_a_reload_that_comes_during_a_reload_follows_it(serve, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    service = serve(workers=1)
    port = service.ready()
    service.reload(answer="two", gate=gate)
    service.expect("^waiting worker-0 ")
    with open(gate, "w"):
        service.reload(answer="three", gate=None)
        # Answered by the loop: HUP was taken before it.
        service.signal(signal.SIGUSR1)
        service.expect("^reopened by the master$")
    service.expect("^reloaded generation=2$")
    service.expect("^reloaded generation=3$")
    service.expect("^retired two$")
    assert ask(port)[1] == "three"


# Upgrade.

def upgraded_pid(service) -> int:
    service.signal(signal.SIGUSR2)
    return int(service.expect(r"^upgrade started pid=(?P<pid>\d+)$")["pid"])


def test_an_upgrade_under_load_fails_no_request(serve, tmp_path):
    pid_file, path = tmp_path / "pid", f"{tmp_path}/socket"
    service = serve(pid_file=str(pid_file), listen=["127.0.0.1:0", f"unix:{path}"])
    port = service.ready()
    assert pid_file.read_text() == f"{service.process.pid}\n"
    with under_load(port) as load:
        service.configure(answer="two")
        pid = upgraded_pid(service)
        service.expect(f"^ready: pid {pid}, 127.0.0.1:{port}, unix:{path}$")
        assert service.process.wait() == 0
        wait_for(lambda: "two" in load.answers, "the new master's workers to answer")
        # And from there once more.
        service.configure(answer="three")
        os.kill(pid, signal.SIGUSR2)
        last_pid = int(service.expect(rf"ready: pid (?!{pid}\b|{service.process.pid}\b)(\d+),")[1])
        wait_for(lambda: "three" in load.answers, "the third master's workers to answer")
        wait_for(lambda: not is_alive(pid), "the second master to end")
    assert load.failures == []
    assert ask(path)[1] == "three"
    assert pid_file.read_text() == f"{last_pid}\n"
    os.kill(last_pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(last_pid), "the last master to end")
    assert not pid_file.exists()
    assert not os.path.exists(path)
    service.process.read()
    assert "Traceback" not in service.process.output


@pytest.mark.parametrize("changes", [{"answer": None}, {"crash": [1]}, {"gate": "gate"}],
                         ids=["bad configuration", "workers that crash", "workers that hang"])
def test_a_failed_upgrade_changes_nothing(serve, tmp_path, changes):
    pid_file, path = tmp_path / "pid", f"{tmp_path}/socket"
    service = serve(pid_file=str(pid_file), listen=["127.0.0.1:0", f"unix:{path}"], upgrade_s=0.5)
    port = service.ready()
    if "gate" in changes:
        os.mkfifo(tmp_path / "gate")
        changes = {"gate": str(tmp_path / "gate")}
    service.configure(**changes)
    if "answer" in changes:
        service.path.write_text("{")
    with under_load(port) as load:
        if "gate" in changes:
            # The old master's patience is in question here, not the new one's.
            pid = upgraded_pid(service)
            service.expect(rf"^upgrade not ready pid={pid} ")
        else:
            pid = upgraded_pid(service)
        service.expect(rf"^upgrade failed pid={pid} cause=")
    assert load.failures == []
    assert ask(path)[1] == ask(port)[1] == "one"
    assert pid_file.read_text() == f"{service.process.pid}\n"
    service.reload(answer="two", crash=[], gate=None)
    service.expect("^reloaded ")
    assert service.stop() == 0
    assert not os.path.exists(path)


def test_there_is_no_reload_during_an_upgrade(serve, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    service = serve(workers=1)
    service.ready()
    service.configure(gate=gate)
    pid = upgraded_pid(service)
    service.expect("^waiting worker-0 ")
    service.signal(signal.SIGHUP)
    service.expect("^reload counted: an upgrade is under way$")
    service.signal(signal.SIGUSR2)
    service.expect("^upgrade refused: ")
    with open(gate, "w"):
        pass
    service.expect(f"^ready: pid {pid}, ")
    assert service.process.wait() == 0


def test_a_stop_during_an_upgrade_stops_both(serve, tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    service = serve(workers=1)
    port = service.ready()
    service.configure(gate=gate)
    pid = upgraded_pid(service)
    service.expect("^waiting worker-0 ")
    with open(gate, "w"):
        assert service.stop() == 0
        wait_for(lambda: "stopping" in service.process.read(), "the new master to be stopped")
    wait_for(lambda: not is_alive(pid), "the new master to end")
    wait_for(lambda: refuses(port), "the port to be free")


def test_workers_do_not_see_the_upgrade_in_their_environment(serve):
    service = serve(workers=1)
    port = service.ready()
    pid = upgraded_pid(service)
    service.expect(f"^ready: pid {pid}, ")

    def held() -> set[str] | None:
        with Client(port) as client:        # while it is open, its worker lives, and closes nothing
            worker, _ = client.ask()
            if parent_of(worker) != pid:
                return None
            return {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}

    fds = wait_for(held, "a worker of the new master")
    assert sum(name.startswith("socket:") for name in fds) <= 4     # listener, its own pair, this connection
    os.kill(pid, signal.SIGTERM)


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


# Options.

def test_the_pid_file_follows_the_configuration(serve, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    service = serve(pid_file=str(first))
    service.ready()
    assert first.read_text() == f"{service.process.pid}\n"
    service.reload(pid_file=str(second))
    service.expect("^reloaded ")
    wait_for(second.exists, "the second file")
    assert not first.exists()
    service.reload(pid_file=str(tmp_path / "nowhere" / "pid"))
    service.expect("pid_file: cannot write")
    assert service.stop() == 0
    assert not second.exists()


def test_a_pid_file_that_cannot_be_written_is_an_error_at_the_start(serve, tmp_path):
    service = serve(pid_file=str(tmp_path / "nowhere" / "pid"))
    assert service.process.wait() == 2
    assert "pid_file: cannot write" in service.process.output
    assert "started" not in service.process.output


def test_an_address_that_is_taken_is_an_error_at_the_start(serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        service = serve(listen=[f"127.0.0.1:{other.getsockname()[1]}"])
        assert service.process.wait() == 2
    assert service.process.output == f"{service.config.listen[0]}: address already in use\n"


def test_workers_become_the_user_that_is_asked_for(serve):
    service = serve(workers=1, user="nobody")
    if os.geteuid() != 0:
        assert service.process.wait() == 2
        assert "user: only root can start workers as 'nobody'" in service.process.output
        return
    pid, _ = ask(service.ready())
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    nobody = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    assert status["Uid"].split() == [nobody] * 4
    assert "0" not in status["Gid"].split() + status["Groups"].split()
    os.kill(service.process.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the worker to follow its master, though it is another user's")


def test_an_unknown_user_is_an_error(serve):
    service = serve(user="no such user")
    assert service.process.wait() == 2
    assert "user: no user is called 'no such user'" in service.process.output


def test_the_environment_is_clean_of_what_an_upgrade_passes(tmp_path):
    """A leftover of another program's upgrade is an error that names it, not a crash."""
    path = tmp_path / "config.json"
    Config().save(path)
    started = subprocess.run([*COMMAND, str(path)], env={**os.environ, VARIABLE: '{"127.0.0.1:1": 999}'},
                             capture_output=True, text=True, check=False)
    assert started.returncode == 2
    assert started.stderr == "127.0.0.1:1: inherited descriptor 999: Bad file descriptor\n"
    assert READY_VARIABLE not in os.environ
