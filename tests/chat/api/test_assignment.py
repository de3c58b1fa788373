"""Tickets and gateways."""
import json
import time

import msgspec
import pytest

from hotpath.chat.auth import TICKET_S, open_ticket, secret
from hotpath.chat.config import RedisConfig
from hotpath.chat.connect import Report
from hotpath.chat.topics import control_topic, registry_ids, registry_key
from tests.chat.api.serving import make_config, new_name, one_engine, serving
from tests.waiting import wait_for


@pytest.fixture
def report(api, ann):
    """Write what gateways write; forgotten behind the test."""
    client, prefix, ids = api.redis(), api.config.redis.prefix, []

    def write(id, sockets=0, *, draining=False, life_ms=60_000):
        one = Report(id, f"ws://127.0.0.1:1/{id}", "http://127.0.0.1:1/healthz", sockets, draining, f"boot{id}",
                     int(time.time() * 1000))
        client.sadd(registry_ids(prefix), id)
        client.set(registry_key(prefix, id), msgspec.json.encode(one), px=life_ms)
        ids.append(id)
        state = "draining" if draining else "up"
        wait_for(lambda: listed(ann).get(id, (None,))[0] == state, f"{id} to be seen")

    yield write
    for id in ids:
        client.delete(registry_key(prefix, id))
        client.srem(registry_ids(prefix), id)
    wait_for(lambda: all(listed(ann)[id][0] == "lost" for id in ids), "them to be lost")
    client.close()


def listed(admin):
    return {one["id"]: (one["state"], one["sockets"], one["url"])
            for one in admin.get("/api/gateways").json()["gateways"]}


def test_a_ticket_opens_one_gateway_for_who_asked(api, ann, bob, report):
    report("g1")
    answer = bob.post("/api/connect")
    assert answer.status == 200
    said = answer.json()
    assert set(said) == {"url", "ticket", "gateway", "expires_in", "retry"}
    assert (said["url"], said["gateway"]) == ("ws://127.0.0.1:1/g1", "g1")
    assert said["expires_in"] == TICKET_S
    assert said["retry"]["base_ms"] < said["retry"]["cap_ms"]
    opened = open_ticket(secret(api.config.folder), said["ticket"], gateway="g1", nonce="bootg1", now_s=time.time())
    assert opened.user == bob.id
    assert opened.session > 0
    assert bob.post("/api/connect").json()["ticket"] != said["ticket"]


def test_connects_spread_and_obey_exclude_while_another_lives(ann, bob, report):
    full, free = new_name(), new_name()     # of those of other tests, tickets still count
    report(full, 3)
    report(free, 1)
    given = [bob.post("/api/connect", {}).json()["gateway"] for _ in range(6)]
    assert given == [free, free, full, free, full, free]
    assert {bob.post("/api/connect", {"exclude": [free]}).json()["gateway"] for _ in range(4)} == {full}
    assert bob.post("/api/connect", {"exclude": [full, free]}).status == 200


def test_nobody_is_sent_to_a_draining_gateway(ann, bob, report):
    report("g1", draining=True)
    answer = bob.post("/api/connect")
    assert answer.status == 503
    answer.problem()
    assert int(answer.fields["retry-after"]) >= 1
    report("g2", 500)
    assert bob.post("/api/connect", {"exclude": []}).json()["gateway"] == "g2"


def test_a_gateway_that_came_up_just_now_is_found(redis_url, tmp_path):
    """As right behind a start: nobody waits for the next look."""
    with serving(make_config(tmp_path, redis_url, redis=RedisConfig(url=redis_url, prefix="fresh:"))) as api:
        ann = api.person("ann")
        one = Report("g1", "ws://127.0.0.1:1/g1", "http://127.0.0.1:1/healthz", 0, False, "b", 1)
        assert ann.post("/api/connect").status == 503
        with api.redis() as client:
            client.sadd(registry_ids("fresh:"), "g1")
            client.set(registry_key("fresh:", "g1"), msgspec.json.encode(one), px=60_000)
        wait_for(lambda: ann.post("/api/connect").status == 200, "the gateway")


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({"exclude": "g1"}, ["exclude"]), ({"exclude": [1]}, ["exclude"]), ({"exclude": None}, ["exclude"]),
    ({"exclude": ["G1"]}, ["exclude"]), ({"exclude": ["g1\n"]}, ["exclude"]), ({"exclude": ["g1"] * 65}, ["exclude"]),
    ({"gateway": "g1"}, ["gateway"]), ({"exclude": ["\ud800"]}, ["exclude"]),
])
def test_a_connect_that_cannot_be_is_blamed(bob, body, blamed):
    assert bob.post("/api/connect", body).blamed() == blamed


def test_gateways_are_for_admins(ann, bob, report):
    report("g1", 7)
    assert listed(ann)["g1"] == ("up", 7, "ws://127.0.0.1:1/g1")
    assert bob.get("/api/gateways").status == 403
    assert bob.post("/api/gateways/g1/drain").status == 403


def test_a_drain_is_told_to_the_gateway_itself(api, ann, report):
    report("g1")
    with api.redis().pubsub() as heard:
        heard.subscribe(control_topic(api.config.redis.prefix, "g1"))
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        assert ann.post("/api/gateways/g1/drain").status == 202
        assert json.loads(heard.get_message(timeout=5)["data"]) == {"drain": True}


@one_engine
@pytest.mark.parametrize("id", ["nobody", "%00", "%ff", "x" * 3000, "%F0%9F%91%8D"])
def test_an_unknown_gateway_is_not_drained(ann, id):
    answer = ann.post(f"/api/gateways/{id}/drain")
    assert answer.status == 404
    answer.problem()
