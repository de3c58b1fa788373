"""Which part is well, where an embedded Redis is, and how each part is started."""
import json
import os
import socket
from pathlib import Path

import pytest

from hotpath.chat import parts
from hotpath.chat.parts import Crew, Kept, NoRedis
from hotpath.core.config import Address
from hotpath.core.errors import ListenError
from hotpath.core.listen import VARIABLE, Listeners
from hotpath.core.supervise import LONGEST_PAUSE_S, Child, Part
from tests.waiting import running, wait_for


class Process:
    """What a child's process is to a crew."""

    def __init__(self, pid):
        self.pid = pid


class Asked:
    """A probe that counts."""

    def __init__(self):
        self.answer = True
        self.n = 0

    def __call__(self):
        self.n += 1
        return self.answer


def crew_of(**announces):
    probes = {name: Asked() for name in announces}
    kept = [Kept(Part(name, []), Address("h", 1), probes[name], announces=says) for name, says in announces.items()]
    children = [Child(each.part) for each in kept]
    for pid, child in enumerate(children, 1):
        child.process = Process(pid)
    return Crew(kept), children, probes


def test_who_announces_itself_is_not_asked_before():
    crew, children, probes = crew_of(g1=True, redis=False)
    assert crew.check(children) == ["redis"]
    assert (probes["g1"].n, crew.unwell(children)) == (0, ["g1"])
    crew.hear("g1    | ready: pid 1, 127.0.0.1:80")
    assert crew.check(children) == ["g1"]
    assert crew.unwell(children) == []


@pytest.mark.parametrize("line", [
    "g1    | ready: pid 7, 127.0.0.1:80",       # of a process before
    "g1    | ready: pid x",
    "g1    | not ready: pid 1",
    "other | ready: pid 1, 127.0.0.1:80",
    "ready: pid 1, 127.0.0.1:80",
])
def test_only_its_own_word_counts(line):
    crew, children, _ = crew_of(g1=True)
    crew.hear(line)
    assert crew.check(children) == []


def test_who_is_well_is_not_asked_again_until_it_was_started_anew():
    crew, children, probes = crew_of(redis=False)
    crew.check(children)
    crew.check(children)
    assert probes["redis"].n == 1
    children[0].process = None
    assert (crew.check(children), crew.unwell(children)) == ([], ["redis"])
    children[0].process = Process(9)
    assert crew.check(children) == ["redis"]


def test_who_does_not_answer_is_not_well():
    crew, children, probes = crew_of(redis=False)
    probes["redis"].answer = False
    assert (crew.check(children), crew.unwell(children)) == ([], ["redis"])


def test_whoever_got_well_is_started_again_without_delay():
    crew, children, _ = crew_of(redis=False)
    children[0].pause_s = LONGEST_PAUSE_S
    crew.check(children)
    assert 2 * children[0].pause_s == pytest.approx(0.1)


def test_an_embedded_redis_stays_where_it_was(tmp_path):
    port = parts.redis_port(tmp_path)
    assert parts.redis_port(tmp_path) == port
    assert parts.redis_url(tmp_path) == f"redis://127.0.0.1:{port}/0"
    assert parts.redis_port(tmp_path, fresh=True) == parts.redis_port(tmp_path)
    (tmp_path / "redis" / "port").write_text("nonsense")
    assert parts.redis_port(tmp_path) == parts.redis_port(tmp_path)


def test_a_free_port_is_none_that_a_connection_takes_by_chance():
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert 1024 <= parts.free_port() < low


def test_a_taken_port_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not parts.is_free(taken.getsockname()[1])


def test_an_embedded_redis_answers_and_listens_on_loopback_alone(tmp_path):
    port = parts.redis_port(tmp_path)
    kept = parts.redis(tmp_path, port)
    assert not kept.probe()
    with running(kept.part.command) as process:
        wait_for(kept.probe, "a PONG")
        assert listens_on(process.pid) == {f"127.0.0.1:{port}"}
        process.popen.terminate()
        assert process.wait() == 0
    assert sorted(path.name for path in (tmp_path / "redis").iterdir()) == ["port", "redis.log"]


def listens_on(pid):
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, port = words[1].split(":")
                found.add(f"{socket.inet_ntoa(bytes.fromhex(host)[::-1]) if kind == 'tcp' else host}:{int(port, 16)}")
    return found


def test_without_any_redis_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoRedis, match=r"redis\.url: embedded, .* allowed: to install one, or redis://HOST:PORT/N"):
        parts.redis_server()


def test_where_nothing_answers_no_gateway_is_known(port):
    assert parts.n_assignable(Address("127.0.0.1", port)) == 0


@pytest.fixture
def listeners():
    listeners = Listeners()
    yield listeners
    listeners.close()


def test_each_part_gets_the_socket_that_it_serves(listeners):
    any_port = Address("127.0.0.1", 0)
    first, second = parts.bind(listeners, any_port, any_port)
    assert first.getsockname() != second.getsockname()
    assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    api = parts.api("api", first, ["--data=d"])
    assert api.part.command[-4:] == ["api", "--data=d", "--listen", f"fd:{first.fileno()}"]
    assert list(api.part.pass_fds) == [first.fileno()]
    gateway = parts.gateway("g2", second, ["--data=d"], {"http://b", "http://a"})
    address = f"127.0.0.1:{second.getsockname()[1]}"
    assert gateway.part.command[-10:] == ["gateway", "--id", "g2", "--data=d", "--listen", address,
                                          "--origin", "http://a", "--origin", "http://b"]
    assert json.loads(gateway.part.env[VARIABLE]) == {address: second.fileno()}
    assert str(gateway.address) == address


def test_a_name_of_two_addresses_is_bound_once(listeners):
    bound = parts.bind(listeners, Address("localhost", 0), Address("localhost", 0))
    assert len(bound) == 2


def test_a_taken_address_is_a_listen_error(listeners):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ListenError, match="address already in use"):
        parts.bind(listeners, Address("127.0.0.1", taken.getsockname()[1]))
