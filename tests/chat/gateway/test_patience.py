"""The database goes away: nobody is disconnected, those who start wait, and all goes on by itself once it is back."""
from __future__ import annotations

import pytest

from hotpath.chat.gateway.patience import patiently
from hotpath.chat.store import Unavailable
from hotpath.core.tasks import run
from tests.chat.gateway.rig import rig
from tests.mariadb import missing, running_mariadb


def test_it_is_asked_until_it_answers():
    answers: list[Unavailable | int] = [Unavailable("away"), Unavailable("still"), 7]

    def read(what: str) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    assert run(patiently, read, "anything") == 7
    assert not answers


def test_another_error_is_not_hidden():
    def read() -> int:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        run(patiently, read)


def test_a_database_that_is_killed_costs_nobody_the_socket(tmp_path):
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as server, rig(tmp_path, database=server.new_url(), head_check="300ms") as chat:
        gateway = chat.gateway()
        ann, bob = chat.user("ann"), chat.user("bob")
        room = chat.channel(ann, bob)
        socket = ann.start(gateway)
        server.kill()
        waits = bob.connect(gateway)
        waits.ask_start({room: 1})
        gateway.wait_for("database away")
        socket.settle()
        waits.settle()
        server.start()
        waits.ready = waits.next("ready")
        waits.events(room, 2, 2)
        with chat.silence():
            seq = bob.say(room)
        socket.events(room, 3, seq)
        waits.events(room, 3, seq)
