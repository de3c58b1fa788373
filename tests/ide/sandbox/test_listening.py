"""The kernel's tables of listeners, read."""
import os
import socket

from hotpath.ide.sandbox.listening import (
    MAX_PORTS,
    inodes_of,
    listeners,
    name_of,
    named,
    pids_in,
    read_at,
    sockets,
)

HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address, state=b"0A", inode=b"77"):
    return (b"   0: " + address + b" 00000000:0000 " + state
            + b" 00000000:00000000 00:00000000 00000000  1000        0 " + inode + b" 1 0000 100 0 0 10 0\n")


def test_only_what_the_loopback_reaches_counts():
    table = HEAD + row(b"0100007F:1F90") + row(b"00000000:0050", inode=b"78") + row(b"0100007F:0051", b"01") \
        + row(b"0F02000A:0052") + b"\n" + b"broken line\n"
    assert list(sockets(table, "tcp")) == [(8080, "0100007F", 77), (80, "00000000", 78)]
    loopback = b"00000000000000000000000001000000"
    table = HEAD + row(loopback + b":0050") + row(b"0" * 32 + b":0051") + row(b"000080FE00000000FFADE15609667CFE:0052")
    assert [port for port, _, _ in sockets(table, "tcp6")] == [80, 81]
    assert list(sockets(b"", "tcp")) == []


def test_our_own_are_found_with_their_names():
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        process = os.open("/proc/self", os.O_RDONLY)
        try:
            found = listeners(process)
        finally:
            os.close(process)
        assert found[port][0] == {"tcp"}
        assert port in {one.port for one in named(found, "/proc", [os.getpid()], own=True)}
        assert named({port: found[port]}, "/proc", [1 << 30], own=True) == []
        assert [one.process for one in named({port: found[port]}, "/proc", [], own=False)] == [""]
        assert any(inodes_of("/proc/self", 1000))
        assert len(list(inodes_of("/proc/self", 2))) == 2


def test_no_more_are_told_than_a_page_can_show():
    assert len(named({port: ({"tcp"}, {port}) for port in range(5000)}, "/proc", [], own=False)) == MAX_PORTS


def test_what_is_gone_is_nothing(tmp_path):
    assert name_of("/proc/nothing") == ""
    assert pids_in("/proc/nothing") == []
    folder = os.open(tmp_path, os.O_RDONLY)
    assert read_at(folder, "net/tcp") == b""
    os.close(folder)
