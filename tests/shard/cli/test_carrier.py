import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.cli import carrier
from hotpath.shard.cli.carrier import CannotCarry, Hands, carry, main
from hotpath.shard.cli.opening import node_of
from hotpath.shard.loading import load_config
from tests.waiting import wait_for


def test_what_ends_each_time_is_not_started_for_ever(standing, monkeypatch):
    monkeypatch.setattr(carrier, "DEATHS_ALLOWED", 2)
    config = load_config(standing.file)
    hands = Hands(config, str(standing.file.with_name("gone.yaml")), list)

    def refused():
        try:
            hands.see_to_it()
        except CannotCarry as error:
            return str(error)
        return ""

    said = wait_for(refused, "a refusal", 60)
    assert said.startswith(f"nobody moves the rows; {config.data}/carrier.log ends with: ")
    assert "gone.yaml: cannot be read" in said


def test_nobody_is_started_beside_a_router(up):
    Hands(load_config(up.file), str(up.file), lambda: ["a router"]).see_to_it()
    assert not (up.data / "carrier.log").exists()


def test_without_a_reshard_there_is_nothing_to_carry(standing):
    def never(seconds):
        pytest.fail("waits")

    with node_of(load_config(standing.file)) as node:
        carry(node, pause=never)


def test_it_leaves_to_a_router_what_a_router_can_do(up):
    up.run("add", "s2", "--hold")
    with node_of(load_config(up.file)) as node, node_of(load_config(up.file)) as router:
        router.start()
        node.admin.complete()
        carry(node, pause=lambda seconds: pytest.fail("waits"))
        wait_for(lambda: node.admin.document()["state"] == "done", "the router to finish it", 60)


def test_it_waits_for_the_map_to_come_back(standing, monkeypatch):
    answers, pauses = [False, ShardUnavailable("meta", "away"), ShardUnavailable("meta", "away"), True], []

    def asked(node):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(carrier, "is_needless", asked)
    with node_of(load_config(standing.file)) as node:
        carry(node, pause=pauses.append)
        assert len(pauses) == 3
        monkeypatch.setattr(carrier, "MAP_PATIENCE_S", -1.0)
        answers.append(ShardUnavailable("meta", "gone"))
        with pytest.raises(ShardUnavailable):
            carry(node, pause=pauses.append)


def test_a_cluster_that_is_not_up_is_status_1(place):
    assert main([str(place.file)]) == 1
