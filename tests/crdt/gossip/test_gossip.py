"""Real replicas over HTTP: they agree after whatever kept them apart, and nothing comes back."""
from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hotpath.crdt.gossip.messages import Give, Speaker
from tests.crdt.clusters import CONFIG, Cluster, Member, cluster
from tests.waiting import wait_for

FAST_GC = CONFIG.replace("gc: {after: 24h, interval: 100ms}", "gc: {after: 500ms, interval: 100ms}")
OCTETS = [("Content-Type", "application/octet-stream")]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory):
    with cluster(tmp_path_factory.mktemp("three"), "abc") as group:
        yield group


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest):
    """Whatever a test cut is healed behind it."""
    yield
    if "three" in request.fixturenames:
        group = request.getfixturevalue("three")
        for member in group.members.values():
            member.heal()
        group.wait_for_links()


def counted(group: Cluster, name: str, what: str) -> int:
    return sum(peer[what] for peer in group[name].get("/stats")["peers"].values())


def test_a_write_reaches_all(three: Cluster):
    three["a"].put("reach", 1)
    for name in "bc":
        wait_for(lambda name=name: three[name].items.get("reach") == 1, f"it to reach {name}")
    wait_for(lambda: counted(three, "a", "pushed") > 0, "a to have heard of it")


def test_links_that_were_cut_keep_apart_and_agree_when_healed(three: Cluster):
    three["c"].cut()
    assert three["c"].states == {"a": "cut", "b": "cut"}
    wait_for(lambda: three["a"].states["c"] == "cut", "a to notice")
    three["a"].put("apart", "a")
    three["c"].put("apart", "c")
    three["c"].put("only-c", 1)
    wait_for(lambda: three["b"].items.get("apart") == "a", "b to have a's")
    assert three["c"].items["apart"] == "c"
    assert "only-c" not in three["b"].items
    three["c"].heal()
    items = three.wait_for_agreement()
    assert items["apart"] == "c"        # it was written later
    assert items["only-c"] == 1


def test_a_relay_is_enough(three: Cluster):
    three["a"].cut("c")
    three["a"].put("relayed", 1)
    wait_for(lambda: three["c"].items.get("relayed") == 1, "it to come by b")
    three["c"].put("back", 1)
    wait_for(lambda: three["a"].items.get("back") == 1, "and back")
    assert three["a"].states["c"] == "cut"


def test_a_removed_key_stays_removed_by_a_replica_that_was_away(three: Cluster):
    three["a"].put("gone", 1)
    three.wait_for_agreement()
    three["b"].cut()
    three["a"].remove("gone")
    three["b"].put("away", 1)
    three["b"].heal()
    assert "gone" not in three.wait_for_agreement()


def test_members_between_themselves_only(three: Cluster):
    give = Give(Speaker("z", 1, 1)).encode()
    answer = three["a"].ask("POST", "/sync/cells", give, OCTETS)
    assert (answer.status, answer.json()["title"]) == (403, "not a member")
    answer = three["a"].ask("POST", "/sync/cells", Give(Speaker("b", 1, 1)).encode(), OCTETS)
    assert (answer.status, answer.json()["title"]) == (409, "duplicate replica")
    assert three["a"].ask("POST", "/sync/cells", b"garbage", OCTETS).status == 422
    assert three["a"].ask("POST", "/sync/exchange", {}).status == 415


def test_a_second_process_of_a_name_is_refused_and_says_so(three: Cluster, tmp_path: Path):
    with cluster(tmp_path, "", start=False) as other:
        twin = Member(tmp_path, "a")
        other.members["b"], other.members["a"] = three["b"], twin
        try:
            other.start("a", peers="b", healthy=False)
        finally:
            del other.members["b"]          # it is not ours to end
        assert twin.served is not None
        twin.served.wait_for("another process is a, and alive")
        wait_for(lambda: twin.states == {"b": "refused"}, "it to say so")
        assert not twin.is_healthy
    assert three["a"].is_healthy


def test_tombstones_go_everywhere_and_the_one_who_holds_them_is_named(tmp_path: Path):
    with cluster(tmp_path, "abc", config=FAST_GC) as group:
        group["a"].put("k", 1)
        group.wait_for_agreement()
        group["b"].remove("k")
        for member in group.members.values():
            wait_for(lambda member=member: member.get("/sync/digest")["tombstones"] == 0
                     and member.get("/sync/digest")["collected"] > 0, "the tombstone to go")
        group.kill("c")
        group["a"].put("l", 1)
        group["a"].remove("l")
        wait_for(lambda: group["a"].states["c"] == "down", "c to be missed")
        wait_for(lambda: group["a"].get("/stats")["gc"]["held_by"] == "c", "c to be named")
        assert group["a"].get("/sync/digest")["tombstones"] == 1
        assert group["a"].ask("DELETE", "/members/c").status == 204
        for name in "ab":
            wait_for(lambda name=name: group[name].get("/sync/digest")["tombstones"] == 0, "it to go without c")
        assert group["b"].states == {"a": "up"}
        group.start("c", healthy=False)
        wait_for(lambda: group["c"].states == {"a": "refused", "b": "refused"}, "c to learn that it was forgotten")
        assert "no longer" in group["c"].reason("a")
        assert group["a"].ask("POST", "/members", {"name": "c", "url": group["c"].url}).status == 201
        group.wait_for_links()
        assert group.wait_for_agreement() == {}


def test_a_new_member_copies_before_it_serves(tmp_path: Path):
    with cluster(tmp_path, "ab") as group:
        for i in range(200):
            group["a"].put(f"k{i}", i)
        group["a"].remove("k7")
        new = group.start("d", peers="a", healthy=False)
        wait_for(lambda: "not a member" in new.ask("GET", "/healthz").json()["detail"]
                 or "no member" in new.ask("GET", "/healthz").json()["detail"], "d to be told")
        assert new.ask("PUT", "/kv/x?upsert=true", 1).status == 503
        assert group["a"].ask("POST", "/members", {"name": "d", "url": new.url}).status == 201
        wait_for(lambda: new.is_healthy, "d to have copied")
        assert len(new.items) == 199
        wait_for(lambda: group["b"].states == {"a": "up", "d": "up"}, "b to hear of d")
        wait_for(lambda: new.states == {"a": "up", "b": "up"}, "d to hear of b")
        new.put("x", 1)
        assert group.wait_for_agreement()["x"] == 1


def test_a_member_that_lost_its_disk_copies_before_it_serves(tmp_path: Path):
    with cluster(tmp_path, "ab") as group:
        group["b"].put("k", 1)
        group.wait_for_agreement()
        group.kill("b")
        group.lose_disk("b")
        assert group.start("b").items == {"k": 1}
        group["b"].put("l", 1)
        assert group.wait_for_agreement() == {"k": 1, "l": 1}


def test_a_dead_peer_keeps_nobody_from_serving(tmp_path: Path):
    with cluster(tmp_path, "abc", start=False) as group:
        group.start("a")
        group["a"].put("k", 1)
        assert group["a"].states == {"b": "down", "c": "down"}
        group.start("b")
        assert group["b"].items == {"k": 1}


def test_a_crash_takes_nothing_back_and_nothing_is_sent_twice_in_vain(tmp_path: Path):
    with cluster(tmp_path, "ab") as group:
        for i in range(30):
            group["a"].put(f"k{i}", i)
        group.kill("a")
        group.start("a")
        assert len(group.wait_for_agreement()) == 30
        group.wait_for_links()
        assert counted(group, "a", "pushed") == 0


def test_an_own_clock_that_is_ahead_stops_writes_and_heals(tmp_path: Path):
    with cluster(tmp_path, "abc", start=False) as group:
        for name in "ab":
            group.start(name, healthy=False)
        group.start("c", more="clock: {offset: 1h}", healthy=False)
        wait_for(lambda: group["a"].is_healthy and group["b"].is_healthy, "those with a right clock to serve")
        wait_for(lambda: group["c"].ask("PUT", "/kv/k?upsert=true", 1).status == 503, "c to refuse")
        wait_for(lambda: "clock" in group["c"].ask("PUT", "/kv/k?upsert=true", 1).json()["detail"], "the reason")
        assert not group["c"].is_healthy

        def skew_ms() -> int:
            members = group["a"].get("/members")["members"]
            return next(member["skew_ms"] for member in members if member["name"] == "c")

        assert 3_500_000 < wait_for(skew_ms, "a to measure c") < 3_700_000
        group.kill("c")
        group.start("c")
        group["c"].put("k", 1)
        assert group.wait_for_agreement() == {"k": 1}


def test_cells_from_a_clock_that_is_ahead_are_refused_and_stop_their_writer(tmp_path: Path):
    with cluster(tmp_path, "ab") as group:
        group.kill("b")
        group.start("b", peers="", more="clock: {offset: 1h}", healthy=False)
        wait_for(lambda: group["b"].ask("PUT", "/kv/ahead?upsert=true", 1).status in (200, 503), "b to answer")
        wait_for(lambda: group["b"].ask("PUT", "/kv/k?upsert=true", 1).status == 503, "b to notice")
        assert "k" not in group["a"].items
        answer = group["a"].ask("POST", "/sync/merge", {"cells": [
            {"key": "k", "stamp": "7fffffffff000000-z", "live": True, "value": 1}]})
        assert answer.status == 409
        assert answer.json()["remote_ms"] > answer.json()["local_ms"]


def test_another_bias_is_refused(tmp_path: Path):
    with cluster(tmp_path, "ab", start=False) as group:
        group.start("a")
        group.start("b", more="bias: remove", healthy=False)
        wait_for(lambda: group["a"].states == {"b": "refused"}, "it to be refused")
        assert "prefers" in group["a"].reason("b")


def test_members_carry_the_token(tmp_path: Path):
    config = CONFIG + "token: secret\n"
    bearer = [("Authorization", "Bearer secret")]
    with cluster(tmp_path, "ab", start=False, config=config) as group:
        for name in "ab":
            group.start(name)
        assert group["a"].ask("GET", "/members").status == 401
        assert group["a"].ask("PUT", "/kv/k?upsert=true", 1, bearer).status == 201
        wait_for(lambda: group["b"].ask("GET", "/kv/k", None, bearer).status == 200, "it to reach b")


def test_it_ends_at_once_beside_a_peer_that_hangs(tmp_path: Path):
    with cluster(tmp_path, "ab", config=CONFIG.replace("timeout: 30s", "timeout: 60s")) as group:
        peer = group["b"].served
        assert peer is not None
        peer.signal(signal.SIGSTOP)
        group["a"].put("k", 1)
        assert group.stop("a") == 0
        peer.signal(signal.SIGCONT)


def test_a_reload_adds_peers(tmp_path: Path):
    with cluster(tmp_path, "ab", start=False) as group:
        group.start("a", peers="")
        config = group["a"].folder / "config.yaml"
        peers = f'peers: [{{"name": "b", "url": "{group["b"].url}"}}]'
        config.write_text(config.read_text().replace("peers: []", peers))
        served = group["a"].served
        assert served is not None
        served.signal(signal.SIGHUP)
        wait_for(lambda: group["a"].states == {"b": "down"}, "b to be a member")
        group.start("b")
        group.wait_for_links()
