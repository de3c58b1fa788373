"""What the master promises when processes are killed, crash or hang."""
from __future__ import annotations

import os
import re
import signal
import socket

import pytest

from tests.core.serving import Client, ask, services, under_load
from tests.waiting import is_alive, wait_for


@pytest.fixture
def serve(tmp_path):
    with services(tmp_path) as start:
        yield start


def workers(service) -> list[int]:
    """Every pid that ever said it started."""
    return [int(pid) for pid in re.findall(r"^started \S+ (\d+)", service.process.read(), re.MULTILINE)]


def can_listen(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def gate_at(path) -> str:
    """A FIFO at which new workers wait until it has been opened for writing and closed."""
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("name", ["worker-0", "helper"])
def test_a_killed_process_is_replaced_and_the_others_notice_nothing(serve, name):
    service = serve(helper=True)
    port = service.ready()
    victim = int(service.expect(rf"^started {name} (\d+) ")[1])
    clients = [Client(port) for _ in range(10)]
    served = {client: client.ask() for client in clients}
    os.kill(victim, signal.SIGKILL)
    service.expect(rf"^worker died name={name} pid={victim} cause=SIGKILL again_s=")
    service.expect(rf"^started {name} (?!{victim}\b)\d+ one$")
    assert ("died 0 one" in service.process.output) is (name == "worker-0")     # its gauges go to zero
    for client, answer in served.items():
        if answer[0] != victim:
            assert client.ask() == answer
        client.socket.close()
    assert service.stop() == 0


def test_a_storm_of_kills_leaves_every_place_filled(serve):
    service = serve(workers=3)
    port = service.ready()
    for n in range(3, 12):
        wait_for(lambda n=n: len(workers(service)) == n, f"{n} starts")
        os.kill(workers(service)[-2], signal.SIGKILL)
    wait_for(lambda: sum(map(is_alive, workers(service))) == 3 and ask(port), "three workers again")
    assert service.stop() == 0


def test_a_worker_that_crashes_again_and_again_rests_longer_each_time(serve, port):
    service = serve(workers=2, crash=[1], listen=[f"127.0.0.1:{port}"])
    for again_s in ("0.1", "0.2", "0.4", "0.8"):
        service.expect(rf"^worker died name=worker-1 pid=\d+ cause=exit 3 again_s={again_s}$")
        assert ask(port)[1] == "one"
    assert "ready:" not in service.process.output
    service.reload(crash=[])        # a better configuration ends it
    service.expect(rf"^ready: pid {service.process.pid}, ")
    assert service.stop() == 0


def test_a_worker_that_hangs_before_it_is_ready_is_ended(serve, tmp_path):
    gate = gate_at(tmp_path / "gate")
    service = serve(workers=1, gate=gate, start_s=1)
    service.expect(r"^worker died name=worker-0 pid=\d+ cause=SIGALRM ")
    # Whoever waits at the FIFO is ended as well, in time; whoever comes then finds a file.
    (tmp_path / "open").touch()
    (tmp_path / "open").replace(gate)
    service.ready()
    assert service.stop() == 0


def test_when_the_master_is_killed_workers_finish_and_the_port_is_free(serve):
    service = serve(helper=True)
    port = service.ready()
    with Client(port) as client:
        answer = client.ask()
        service.signal(signal.SIGKILL)
        service.expect(rf"^signal SIGTERM worker-\d {answer[0]}$")
        assert client.ask() == answer
        wait_for(lambda: can_listen(port), "the port to be free")
    wait_for(lambda: not any(map(is_alive, workers(service))), "the workers to end")


def test_without_a_master_a_drain_still_ends_at_its_deadline(serve):
    service = serve(drain_s=0.2)
    with Client(service.ready()) as client:
        pid, _ = client.ask()
        service.signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the worker to give up its client")


def test_a_master_killed_during_a_reload_leaves_nobody(serve, tmp_path):
    service = serve(workers=1)
    port = service.ready()
    gate = gate_at(tmp_path / "gate")
    service.reload(gate=gate)
    waiting = int(service.expect(r"^waiting worker-0 (\d+)$")[1])
    service.signal(signal.SIGKILL)
    with open(gate, "w"):
        pass
    # Its TERM waited until it could be heard.
    service.expect(rf"^signal SIGTERM worker-0 {waiting}$")
    wait_for(lambda: can_listen(port), "the port to be free")
    wait_for(lambda: not is_alive(waiting), "the worker to end")


def test_a_new_worker_killed_during_a_reload_leaves_the_old_ones(serve, tmp_path):
    service = serve(workers=1)
    port = service.ready()
    gate = gate_at(tmp_path / "gate")
    with under_load(port) as load:
        service.reload(answer="two", workers=2, gate=gate)
        waiting = int(service.expect(r"^waiting worker-0 (\d+)$")[1])
        os.kill(waiting, signal.SIGKILL)
        service.expect("^reload counted: worker-0 did not start: SIGKILL$")
        with open(gate, "w"):
            service.expect("^waiting worker-1 ")
        service.expect("^retired two$")
    assert load.failures == []
    assert load.answers <= {"one", "two"}     # worker-1 may have served between its start and its end
    assert ask(port)[1] == "one"


def upgrade(service) -> int:
    service.signal(signal.SIGUSR2)
    return int(service.expect(r"^upgrade started pid=(\d+)$")[1])


def test_a_new_master_killed_during_an_upgrade_leaves_the_old_one(serve, tmp_path):
    pid_file = tmp_path / "pid"
    service = serve(workers=1, pid_file=str(pid_file))
    port = service.ready()
    gate = gate_at(tmp_path / "gate")
    service.configure(gate=gate)
    pid = upgrade(service)
    waiting = int(service.expect(r"^waiting worker-0 (\d+)$")[1])
    pid_file.write_text(f"{pid}\n")     # as if it died between this and its ready line
    os.kill(pid, signal.SIGKILL)
    service.expect(f"^upgrade failed pid={pid} cause=SIGKILL$")
    wait_for(lambda: pid_file.read_text() == f"{service.process.pid}\n", "the pid file to name the old master again")
    with open(gate, "w"):
        pass
    wait_for(lambda: not is_alive(waiting), "the new master's worker to end")
    assert ask(port)[1] == "one"
    assert service.stop() == 0


def test_an_old_master_killed_during_an_upgrade_leaves_the_new_one(serve, tmp_path):
    path = str(tmp_path / "socket")
    service = serve(workers=1, listen=["127.0.0.1:0", f"unix:{path}"])
    port = service.ready()
    gate = gate_at(tmp_path / "gate")
    service.configure(gate=gate, answer="two")
    pid = upgrade(service)
    service.expect("^waiting worker-0 ")
    service.signal(signal.SIGKILL)
    with open(gate, "w"):
        pass
    service.expect(f"^ready: pid {pid}, ")
    wait_for(lambda: ask(port)[1] == ask(path)[1] == "two", "the old worker to be gone")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid), "the new master to end")
    assert not os.path.exists(path)
