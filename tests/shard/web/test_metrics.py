"""Metrics to the letter, and sums over the workers that are right."""
from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from hotpath.shard.web.metrics import Meter
from hotpath.shard.web.tally import Tally
from tests.clients import Client, fetch
from tests.shard.web.standin import standing_in
from tests.waiting import wait_for

JSON = [("Content-Type", "application/json")]
T = "/v1/tables/posts"


def families_of(text: str) -> dict:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value_of(text: str, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return 0.0


def metrics(address: str) -> str:
    return fetch(address, "/metrics").body.decode()


def test_each_family_has_the_labels_that_were_promised():
    with standing_in() as served:
        fetch(served.address, T, "POST", JSON, b'{"id": 1, "author": "a"}')
        found = families_of(metrics(served.address))
        labels = {name.removeprefix("hotpath_shard_"): {tuple(sample.labels) for sample in family.samples
                                                        if not sample.name.endswith("_bucket")}
                  for name, family in found.items() if name.startswith("hotpath_shard_")}
        assert labels == {
            "requests": {("table", "op", "code")}, "op_seconds": {("shard", "op")}, "pool_wait_seconds": {("shard",)},
            "pool_connections": {("shard", "state")}, "epoch_retries": {()}, "fallback_reads": {()}, "pulls": {()},
            "move_rows": set(), "slots": {("shard",)}}
        types = {name.removeprefix("hotpath_shard_"): family.type for name, family in found.items()}
        counters = ("requests", "epoch_retries", "fallback_reads", "pulls", "move_rows")
        assert {types[name] for name in counters} == {"counter"}
        assert {types[name] for name in ("op_seconds", "pool_wait_seconds")} == {"histogram"}
        assert {types[name] for name in ("pool_connections", "slots")} == {"gauge"}
        assert sum(sample.value for sample in found["hotpath_shard_slots"].samples) == 65536


def test_what_the_workers_answered_is_summed_to_the_last_request():
    with standing_in(workers=3) as served:
        codes = []
        for n in range(60):
            with Client(served.address) as client:
                for method, body in (("PUT", {"author": "a"}), ("GET", None), ("PUT", {"author": 5}), ("DELETE", None)):
                    data = None if body is None else json.dumps(body).encode()
                    codes.append(client.ask(method, f"{T}/{n}", JSON if data else [], data).status)
        for op, code in (("put", 201), ("put", 422), ("get", 200), ("get", 404), ("delete", 204), ("delete", 404)):
            asked = [("put", "get", "put", "delete")[i % 4] for i in range(len(codes))]
            wanted = sum(pair == (op, code) for pair in zip(asked, codes, strict=True))
            for _ in range(4):      # whichever worker is asked
                assert value_of(metrics(served.address), "hotpath_shard_requests_total", table="posts", op=op,
                                code=str(code)) == wanted
        took = [sample.value for sample in families_of(metrics(served.address))["hotpath_shard_op_seconds"].samples
                if sample.name.endswith("_count") and sample.labels["op"] == "put"]
        assert sum(took) == 60


def test_a_mistake_of_ours_and_a_bad_path_are_counted_too():
    with standing_in() as served:
        fetch(served.address, f"{T}/1", "PUT", JSON, b'{"author": "broken"}')
        fetch(served.address, f"{T}/x")
        fetch(served.address, f"{T}?limit=0")
        fetch(served.address, f"{T}?key=1")
        fetch(served.address, f"{T}?aggregate=count")
        fetch(served.address, T, "POST", JSON, b'[{"author": "a"}]')
        fetch(served.address, T, "POST", JSON, b'{"author": "a"}')
        fetch(served.address, T, "POST", JSON, b'[')
        text = metrics(served.address)
        for op, code in (("put", "500"), ("get", "400"), ("list", "400"), ("get_many", "200"), ("aggregate", "200"),
                         ("insert_many", "200"), ("insert", "201"), ("insert_many", "400")):
            assert value_of(text, "hotpath_shard_requests_total", table="posts", op=op, code=code) == 1


def test_pools_are_those_of_all_workers():
    with standing_in(workers=2) as served:
        wait_for(lambda: value_of(metrics(served.address), "hotpath_shard_pool_connections", shard="s0",
                                  state="idle") == 4, "both workers to tell")
        assert value_of(metrics(served.address), "hotpath_shard_epoch_retries_total") == 4
        assert value_of(metrics(served.address), "hotpath_shard_pulls_total") == 8


def test_what_rises_elsewhere_is_taken_over_once():
    meter = Meter(Tally(1))
    for value in (0, 5, 5, 9):
        meter.rising("pulls_total", value)
    meter.rising("move_rows_total", 7, "s0", "s3")
    text = meter.text({})
    assert value_of(text, "hotpath_shard_pulls_total") == 9
    assert value_of(text, "hotpath_shard_move_rows_total", source="s0", target="s3") == 7


def test_seconds_fall_into_their_bucket():
    meter = Meter(Tally(1))
    for seconds in (0.0005, 0.0006, 0.3, 99.0):
        meter.took("s0", "get", seconds)
    text = meter.text({})
    for bound, n in (("0.0005", 1), ("0.001", 2), ("0.25", 2), ("0.5", 3), ("10.0", 3), ("+Inf", 4)):
        assert value_of(text, "hotpath_shard_op_seconds_bucket", shard="s0", op="get", le=bound) == n
    assert abs(value_of(text, "hotpath_shard_op_seconds_sum", shard="s0", op="get") - 99.3011) < 1e-6
