import pytest

from bench import chat_gate, chat_house
from bench.chat_gateways import GATEWAYS
from bench.processes import StartError


def test_every_rival_is_a_program():
    assert {*GATEWAYS, chat_gate.NPM_WS, chat_gate.FLOOR} == set(chat_gate.RIVALS)


def test_who_is_missing_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "node" in chat_gate.missing(chat_gate.NPM_WS)
    assert "not installed" in chat_gate.missing("no-such-library")


def test_an_unknown_gateway_is_refused(tmp_path):
    plan = chat_house.Plan(1, 1, lambda _: (0,))
    with pytest.raises(StartError, match="no gateway 'x'"), chat_gate.gate_of("x", tmp_path, plan, redis_port=1):
        pass
