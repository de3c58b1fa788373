"""What a socket is said to have room for leaves at once."""
import random
import socket

import pytest

from hotpath.core.net.room import room
from tests.core.net.conftest import KERNEL_BYTES
from tests.waiting import DEADLINE_S


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_the_kernel_takes_at_once_what_it_has_room_for_and_not_much_more(pair, family):
    ours, peer = pair if family == "tcp" else socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, peer:
        ours.setblocking(False)
        peer.settimeout(DEADLINE_S)
        dice, waiting, written = random.Random(1), 0, 0
        for is_read in [True] * 40 + [False] * 40:      # a reader that keeps up more or less, then one that has stopped
            if size := room(ours.fileno()):
                assert ours.send(bytes(size)) == size
                waiting, written = waiting + size, written + size
            if is_read and waiting:
                waiting -= len(peer.recv(dice.randint(1, waiting)))
        assert written > 2 * KERNEL_BYTES
        left = room(ours.fileno())
        try:
            assert ours.send(bytes(left + 4 * KERNEL_BYTES)) < left + KERNEL_BYTES
        except BlockingIOError:
            assert left == 0


def test_what_is_no_socket_has_no_room(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        assert room(file.fileno()) == 0
