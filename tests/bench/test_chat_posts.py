import sqlite3

import pytest

from bench import chat_drivers, chat_gate, chat_house, chat_posts
from bench.chat_gate import Gate
from bench.chat_posts import Post, Posted
from bench.processes import Server
from bench.rivals import WrongAnswer
from bench.wrk import LoadError
from tests.bench.chat_fakes import CHANNEL, fake


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return chat_drivers.built(tmp_path_factory.mktemp("driver"), "chat_posts")


def run(program, folder, chat, *, senders=3, rate=0, watched=0):
    gate = Gate("fake", 1, chat.ws_port, str, [CHANNEL], lambda users: ["/ws"] * len(users), chat_house.START)
    server = Server("fake", [], chat.api_port, folder / "out")
    server.process = type("Process", (), {"pid": 1})()
    post = Post(program, folder, senders, rate)
    return post.run(server, CHANNEL, ["token"] * senders, 0.2, gate if watched else None, range(watched))


def test_every_answer_and_every_delivery_is_counted(program, tmp_path):
    with fake() as chat:
        posted = run(program, tmp_path, chat, watched=4)
        assert posted.posts == len(chat.log)
    assert posted.deliveries == 4 * posted.posts
    assert posted.from_post_ms[0] > 0
    assert posted.from_post_ms[0] > posted.from_answer_ms[0]


def test_paced_messages_are_as_many_as_the_clock_says(program, tmp_path):
    with fake() as chat:
        assert run(program, tmp_path, chat, rate=100).posts == pytest.approx(20, abs=1)


def test_a_hole_is_found(program, tmp_path):
    with fake(lambda seq: [] if seq == 3 else [seq]) as chat, pytest.raises(LoadError, match="seq 4 where 3 is due"):
        run(program, tmp_path, chat, senders=4, watched=2)      # the fourth message is sent whatever the time


def test_a_refusal_is_a_wrong_answer(program, tmp_path):
    with fake() as chat:
        chat.status = 503
        with pytest.raises(WrongAnswer, match="503"):
            run(program, tmp_path, chat)


def test_what_is_acknowledged_must_be_kept(tmp_path):
    with sqlite3.connect(tmp_path / "db") as database:
        database.execute("CREATE TABLE messages (id INTEGER)")
    posted = Posted(3, 1.0, 1.0, 2.0, 0, (0.0, 0.0), (0.0, 0.0), 1.0)
    with pytest.raises(WrongAnswer, match="3 acknowledged, 0 kept"):
        chat_posts.counted(tmp_path / "db", lambda: posted)


def test_one_client_is_measured_on_both_servers(tmp_path):
    ours, flask = chat_posts.alone(tmp_path, tmp_path, rounds=1, seconds=0.2)
    assert ours[0] == chat_gate.OURS
    assert flask[0] == chat_posts.FLASK


def test_group_commit_is_measured_on_a_slower_disk(tmp_path):
    grouped, single = chat_posts.many(tmp_path, tmp_path, rounds=1, seconds=0.2, slower_ms=[20])
    assert grouped[:2] == ("20 ms longer", "max_batch 256")
    assert single[:2] == ("20 ms longer", "max_batch 1")


def posted_in(seconds: float) -> Posted:
    return Posted(1000, seconds, 1.0, 2.0, 0, (0.0, 0.0), (0.0, 0.0), 1.0)


def test_group_commit_is_compared_within_the_round():
    taken = {"max_batch 256": [posted_in(0.25), posted_in(0.25)], "max_batch 1": [posted_in(1.0), posted_in(0.5)]}
    grouped, single = chat_posts.many_rows("this disk's", taken, slow=False)
    assert grouped[2:4] == ("4,000", "3.00 (2.00-4.00)")
    assert grouped[-1] == "≥ 3000: met /s; ≥ 1.3: met ×"
    assert (single[3], single[-1]) == ("1", "")


def test_deliveries_on_our_other_gateway_are_measured_beside_picows(tmp_path):
    names = [chat_gate.OURS] + ["picows"] * (not chat_gate.missing("picows"))
    found = chat_posts.elsewhere(tmp_path, tmp_path, names, rounds=1, seconds=0.2)
    assert [row[0] for row in found] == names


def delivered(p99_ms: float) -> Posted:
    return Posted(100, 1.0, 1.0, 2.0, 100, (1.0, 2.0), (0.5, p99_ms), 1.0)


def test_the_rivals_p99_is_compared_within_the_round():
    found = chat_posts.elsewhere_rows({chat_gate.OURS: [delivered(4.0), delivered(9.0)],
                                       "picows": [delivered(5.0), delivered(9.5)]})
    assert found[0][-1] == "p50 ≤ 1: met; p99 ≤ 10: met"
    assert found[1][-1] == "ours above its p99 by ≤ 0: met (-0.75)"
