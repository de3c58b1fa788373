import pytest

from bench import chat_gate, chat_memory


def test_each_socket_is_in_three_channels():
    plan = chat_memory.plan_of(1000)
    assert plan.channels == 12
    assert [tuple(plan.channels_of(i)) for i in (0, 9, 10)] == [(0, 1, 2), (0, 1, 11), (0, 1, 2)]


@pytest.mark.parametrize("name", chat_memory.MEASURED)
def test_sockets_that_are_idle_take_memory(name, tmp_path, monkeypatch):
    if name != chat_gate.OURS and (why := chat_gate.missing(name)):
        pytest.skip(why)
    monkeypatch.setattr(chat_memory, "SETTLE_S", 0.0)
    assert chat_memory.slope(name, tmp_path, 1000) > 0


def test_the_goal_is_ours():
    ours, theirs = chat_memory.rows(10, {chat_gate.OURS: [1024.0, 3072.0], "picows": [8192.0, 8192.0]})
    assert ours == (chat_gate.OURS, "10", "2.00 (1.00-3.00)", "≤ 2: met")
    assert theirs[-1] == ""
