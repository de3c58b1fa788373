from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys

import pytest

from hotpath.core.errors import ListenError
from hotpath.core.listen import VARIABLE, Listeners, name_of
from hotpath.core.scalars import Address

ANY_PORT = Address("127.0.0.1", 0)


@pytest.fixture
def listeners():
    listeners = Listeners()
    yield listeners
    listeners.close()


def bind_one(listeners: Listeners, address: Address) -> socket.socket:
    [[listener]] = listeners.bind([address])
    return listener


def answers(address: Address) -> bool:
    family = socket.AF_UNIX if address.is_unix else socket.AF_INET
    with socket.socket(family) as client:
        try:
            client.connect(address.path if address.is_unix else (address.host, address.port))
        except OSError:
            return False
        return True


def test_a_bound_socket_listens_without_blocking_and_survives_no_exec(listeners):
    listener = bind_one(listeners, ANY_PORT)
    assert not listener.getblocking()
    assert not listener.get_inheritable()
    port = listener.getsockname()[1]
    assert name_of(listener) == f"127.0.0.1:{port}"
    assert answers(Address("127.0.0.1", port))


def test_a_connection_that_nobody_has_accepted_yet_will_send_its_last_small_segment_at_once(listeners):
    listener = bind_one(listeners, ANY_PORT)
    with socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_ipv6_and_ipv4_may_share_a_port(listeners, port):
    [[v6], [v4]] = listeners.bind([Address("::", port), Address("0.0.0.0", port)])
    assert v6.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    assert name_of(v6) == f"[::]:{port}"
    assert name_of(v4) == f"0.0.0.0:{port}"


def test_a_name_listens_on_every_address_it_has(listeners, port, monkeypatch):
    def resolve(*_args, **_kwargs):
        places = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in places]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    [sockets] = listeners.bind([Address("several.test", port)])
    assert [name_of(each) for each in sockets] == [f"127.0.0.1:{port}", f"127.0.0.2:{port}"]


def test_an_address_that_this_machine_lacks_is_left_out_when_the_name_has_another(listeners, port, monkeypatch):
    def resolve(*_args, **_kwargs):     # 192.0.2.0/24 is for documentation: nobody has it (RFC 5737)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    hosts = ["192.0.2.1", "127.0.0.1"]
    [sockets] = listeners.bind([Address("several.test", port)])
    assert [name_of(each) for each in sockets] == [f"127.0.0.1:{port}"]
    hosts = ["192.0.2.1"]
    with pytest.raises(ListenError, match=rf"several.test:{port}: cannot assign requested address"):
        listeners.bind([Address("several.test", port)])


def test_a_taken_port_is_an_error_that_names_address_and_cause(listeners):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match="already in use") as caught:
            listeners.bind([Address("127.0.0.1", port)])
    assert str(caught.value) == f"127.0.0.1:{port}: address already in use"
    assert caught.value.address == f"127.0.0.1:{port}"


def test_a_name_without_address_is_an_error(listeners, monkeypatch):
    def resolve(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ListenError, match=r"nowhere\.invalid:80: cannot resolve: name or service not known"):
        listeners.bind([Address("nowhere.invalid", 80)])


def test_a_failed_bind_leaves_nothing_open(listeners, port, tmp_path):
    kept = bind_one(listeners, ANY_PORT)
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Address("127.0.0.1", other.getsockname()[1])
        with pytest.raises(ListenError):
            listeners.bind([Address("127.0.0.1", port), Address(path=path), taken])
    assert not answers(Address("127.0.0.1", port))
    assert not os.path.exists(path)
    assert bind_one(listeners, ANY_PORT) is kept


def test_the_same_address_keeps_its_socket(listeners, tmp_path):
    addresses = [ANY_PORT, ANY_PORT, Address(path=str(tmp_path / "socket"))]
    first = listeners.bind(addresses)
    assert first[0] != first[1]
    assert listeners.bind(addresses) == first


def test_an_address_listed_twice_has_one_socket(listeners, port):
    address = Address("127.0.0.1", port)
    [first, second] = listeners.bind([address, address])
    assert first == second


def test_what_is_no_longer_wanted_is_closed(listeners, tmp_path):
    path = str(tmp_path / "socket")
    [[kept], [tcp], [unix]] = listeners.bind([ANY_PORT, ANY_PORT, Address(path=path)])
    gone = Address("127.0.0.1", tcp.getsockname()[1])
    listeners.retain([kept])
    assert tcp.fileno() == unix.fileno() == -1
    assert not answers(gone)
    assert not os.path.exists(path)
    assert answers(Address("127.0.0.1", kept.getsockname()[1]))


def test_the_socket_file_of_a_killed_server_is_replaced(listeners, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(path)
        killed.listen()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    listener = bind_one(listeners, Address(path=path))
    assert name_of(listener) == f"unix:{path}"
    assert answers(Address(path=path))


@pytest.mark.parametrize("backlog", [0, 8])
def test_the_socket_of_a_live_server_is_left_alone(listeners, tmp_path, backlog):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as waiting:
        live.bind(path)
        live.listen(backlog)
        waiting.connect(path)       # with a backlog of 0 the next one would have to wait
        with pytest.raises(ListenError, match="address already in use: a server answers there"):
            listeners.bind([Address(path=path)])
        assert os.path.exists(path)


def test_a_file_that_is_no_socket_is_left_alone(listeners, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(ListenError, match="a file that is not a socket stands there"):
        listeners.bind([Address(path=str(path))])
    assert path.read_text() == "precious"


def test_a_missing_folder_is_an_error(listeners, tmp_path):
    with pytest.raises(ListenError, match=r"unix:.*no such file or directory"):
        listeners.bind([Address(path=str(tmp_path / "nowhere" / "socket"))])


def test_a_socket_file_that_somebody_else_replaced_is_not_removed(listeners, tmp_path):
    path = tmp_path / "socket"
    bind_one(listeners, Address(path=str(path)))
    path.unlink()
    path.write_text("another's")
    listeners.close()
    assert path.read_text() == "another's"


def test_a_disowned_socket_file_outlives_its_socket(listeners, tmp_path):
    path = tmp_path / "socket"
    bind_one(listeners, Address(path=str(path)))
    listeners.disown_files()
    listeners.close()
    assert path.exists()


HEIR = """
import os, sys
from hotpath.core.listen import VARIABLE, Listeners
from hotpath.core.scalars import Address

listeners = Listeners.inherited(os.environ)
[[tcp], [unix]] = listeners.bind([Address("127.0.0.1", 0), Address(path=sys.argv[1])])
assert VARIABLE not in os.environ
assert not tcp.get_inheritable() and not tcp.getblocking()
print(tcp.getsockname()[1])
if sys.argv[2] == "own":
    listeners.own_files()
listeners.close()
"""


@pytest.mark.parametrize("owner", ["own", "guest"])
def test_sockets_pass_through_an_exec_and_their_files_once_they_are_owned(listeners, tmp_path, owner):
    path = tmp_path / "socket"
    [[tcp], _] = listeners.bind([ANY_PORT, Address(path=str(path))])
    value, fds = listeners.handover()
    heir = subprocess.run([sys.executable, "-P", "-c", HEIR, str(path), owner], env={**os.environ, VARIABLE: value},
                          pass_fds=fds, capture_output=True, text=True, check=False)
    assert heir.stdout == f"{tcp.getsockname()[1]}\n", heir.stderr
    assert path.exists() is (owner == "guest")


def test_nothing_is_inherited_without_the_variable():
    assert Listeners.inherited({}).handover() == ("{}", [])


def test_a_descriptor_that_does_not_listen_is_refused(tmp_path):
    with socket.socket() as mute, open(tmp_path / "file", "w") as file:
        for fd, cause in ((mute.fileno(), "does not listen"), (file.fileno(), "non-socket"), (9999, "bad file")):
            with pytest.raises(ListenError, match=f"(?i)127.0.0.1:80: inherited descriptor {fd}.*{cause}"):
                Listeners.inherited({VARIABLE: f'{{"127.0.0.1:80": {fd}}}'})
        os.fstat(mute.fileno())     # still open: it is not ours
