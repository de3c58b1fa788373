from pathlib import Path

import pytest

from bench import chat_drivers, chat_storm
from bench.chat_drivers import Driver
from bench.chat_storm import Storm
from tests.bench.chat_fakes import CHANNEL, fake
from tests.waiting import wait_for

N = 12


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return chat_drivers.built(tmp_path_factory.mktemp("driver"), "chat_storm")


def counts(program: Path, folder: Path, sent=None, *, status=201, on_back=None):
    """(acked, wrong, deliveries, lost, doubled, resets) of a run in which all sockets are cut once.

    `on_back` is told the next seq when they are back.
    """
    (folder / "tokens").write_text("token\n" * N)
    (folder / "channels").write_text(f"{CHANNEL}\n" * N)
    with fake(*([sent] if sent else [])) as chat:
        chat.status = status
        arguments = (chat.api_port, folder / "tokens", folder / "channels", N, 500, 2, 20)
        with Driver(program, arguments) as driver:
            assert driver.line().startswith("live ")
            driver.say("send")
            if status == 201:
                wait_for(lambda: len(chat.log) >= 20, "messages")
                chat.cut()
                _, cut = chat_drivers.numbers(driver.ask("mark").removeprefix("back "), 2)
                assert cut == N
                with chat.lock:
                    so_far = len(chat.log)
                    if on_back is not None:
                        on_back(so_far + 1)
                # Many: whose last message is one that was left out, the program waits long for it.
                wait_for(lambda: len(chat.log) >= so_far + 40, "more messages")
            wait_for(lambda: chat.n_posts, "a post")
            return [int(each) for each in chat_drivers.numbers(driver.ask("stop"), 14)[:6]]


def test_all_that_was_acknowledged_is_delivered_once_to_each(program, tmp_path):
    acked, wrong, deliveries, *bad = counts(program, tmp_path)
    assert acked >= 60
    assert deliveries == acked * N
    assert (wrong, *bad) == (0, 0, 0, 0)


def test_what_is_lost_is_counted(program, tmp_path):
    left_out = {5}      # and one behind the cut; who is not back yet is given those that it missed
    lost = counts(program, tmp_path, lambda seq: [] if seq in left_out else [seq], on_back=left_out.add)[3]
    assert lost == 2 * N


def test_what_is_doubled_is_counted(program, tmp_path):
    doubled = counts(program, tmp_path, lambda seq: [seq, seq] if seq == 5 else [seq])[4]
    assert doubled == N


def test_an_answer_that_is_no_201_is_counted(program, tmp_path):
    acked, wrong, *_ = counts(program, tmp_path, status=503)
    assert acked == 0
    assert wrong > 0


def test_a_small_storm_loses_nothing(tmp_path):
    storm = chat_storm.one_storm(tmp_path, tmp_path, 40, calm_s=0.5)
    assert storm.acked > 0
    assert 0 < storm.cut < 40
    assert storm.deliveries == storm.acked * 40
    assert (storm.wrong, storm.lost, storm.doubled, storm.resets) == (0, 0, 0, 0)


def test_the_worst_of_all_storms_is_told():
    first = Storm(1.0, 2.0, 10, 100, 0, 1000, 0, 0, 0, 1, (1.0, 2.0, 3.0), (1.0, 20.0, 30.0))
    second = Storm(1.5, 16.0, 12, 100, 0, 1000, 1, 0, 0, 0, (1.0, 2.5, 3.0), (1.0, 2.0, 3.0))
    found = {row[0]: row[1:] for row in chat_storm.rows([first, second], 20)}
    assert found["messages acknowledged"][0] == "200"
    assert found["lost"] == ("1", "≤ 0: missed")
    assert found["all back after, s"] == ("16.0", "≤ 15: missed")
    assert found["POST to 201 within, p50 / p99 / most, ms"] == ("1.0 / 20.0 / 30.0", "p99 ≤ 1000: met")
