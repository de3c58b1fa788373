import pytest

from bench import chat_drivers, chat_fanout, chat_gate, chat_house
from bench.chat_fanout import Fan
from bench.chat_gate import Gate
from bench.harness import Sample
from bench.processes import Cpu
from bench.wrk import LoadError, Outcome
from tests.bench.chat_fakes import CHANNEL, fake


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return chat_drivers.built(tmp_path_factory.mktemp("driver"), "chat_fanout")


def gate_of(fake_gateway):
    return Gate("fake", 1, fake_gateway.ws_port, lambda channel: f"x:c:{channel}", [CHANNEL],
                lambda users: ["/ws"] * len(users), chat_house.START)


def driven(program, folder, sent=None, window=4):
    with fake(*([sent] if sent else [])) as gateway, chat_house.redis_server(folder) as redis:
        gateway.follow(redis.port, f"x:c:{CHANNEL}")
        with chat_fanout.opened(program, folder, gate_of(gateway), range(3), redis_port=redis.port) as driver:
            return chat_fanout.drive(driver, 3, window, 0.1, [])


def test_every_delivery_is_counted(program, tmp_path):
    outcome = driven(program, tmp_path)
    assert outcome.requests % 3 == 0
    assert outcome.requests > 0
    assert outcome.p99_ms >= outcome.p50_ms > 0


def test_a_hole_is_found(program, tmp_path):
    with pytest.raises(LoadError, match="seq 4 where 3 is due"):
        driven(program, tmp_path, lambda seq: [] if seq == 3 else [seq])


def test_a_double_is_found(program, tmp_path):
    with pytest.raises(LoadError, match="seq 3 where 4 is due"):
        driven(program, tmp_path, lambda seq: [3, 3] if seq == 3 else [seq])


def test_a_change_is_found(program, tmp_path):
    with fake() as gateway, chat_house.redis_server(tmp_path) as redis:
        gateway.follow(redis.port, f"x:c:{CHANNEL}")
        append = gateway.append
        gateway.append = lambda frame: append(lambda seq: frame(seq).replace(b"build", b"Build"))
        with chat_fanout.opened(program, tmp_path, gate_of(gateway), range(2), redis_port=redis.port) as driver, \
                pytest.raises(LoadError, match="is not as it was published"):
            chat_fanout.drive(driver, 2, 1, 0.1, [])


@pytest.mark.parametrize("name", chat_gate.RIVALS)
def test_each_rival_delivers(name, tmp_path):
    if why := chat_gate.missing(name):
        pytest.skip(why)
    found = chat_fanout.measured(tmp_path, [name], sockets=20, rounds=1, seconds=0.2)
    assert [row[:2] for row in found] == [("1", name), ("16 at once", name)]


def test_ours_delivers(tmp_path):
    found = chat_fanout.measured(tmp_path, [chat_gate.OURS], sockets=20, rounds=1, seconds=0.2)
    assert [row[3] for row in found] == ["1", "1"]


def fan(cpu_s: float) -> Fan:
    return Fan(Sample(Outcome(1_000_000, 0.0, 0, 4.0, 1.0, 2.0, 0.0), Cpu(0.0, cpu_s), 0.0), 1.0)


def test_ours_is_compared_by_deliveries_for_a_cpu_second():
    ours, theirs = chat_fanout.rows("1", {chat_gate.OURS: [fan(4.0), fan(5.0)], "picows": [fan(8.0), fan(8.0)]})
    assert ours[2:5] == ("222,222", "1", "4.50")
    assert theirs[3] == "1.80 (1.60-2.00)"
    assert theirs[-1] == "≥ 1.25: met"
