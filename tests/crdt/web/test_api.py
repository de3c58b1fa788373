from __future__ import annotations

import base64
import json
import re
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from hotpath.core.data.lww import Stamp, parse, split
from tests.clients import Answer, Client
from tests.crdt.replicas import JSON, OCTETS, Process, serving

STAMP = re.compile(r"[0-9a-f]{16}-a")
LIMITS = "{key: 100, value: 10KiB, batch: 50, body: 64KiB}"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("api"), config=f"limits: {LIMITS}\npeers: "
                 "[{name: b, url: 'http://127.0.0.1:9', public: 'http://page.test:8080/'}]") as process:
        yield process


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key that no other test writes."""
    return f"{re.sub(r'[^a-z]+', '-', request.node.originalname)[:50]}-{zlib.crc32(request.node.name.encode()):08x}"


def stamp_of(answer: Answer) -> str:
    """Both fields say it."""
    stamp = answer.value("lww-stamp")
    assert stamp is not None
    assert STAMP.fullmatch(stamp)
    assert answer.value("etag") == f'"{stamp}"'
    return stamp


def problem_of(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.value("content-type") == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == status
    return said


def create(replica: Process, key: str, value: object = 1) -> str:
    answer = replica.put(f"/kv/{key}?upsert=true", json.dumps(value).encode())
    assert answer.status == 201, answer.body
    return stamp_of(answer)


# Reads.

def test_a_json_value_comes_back_canonical_with_its_type(replica, key):
    stamp = stamp_of(replica.put(f"/kv/{key}?upsert=true", b'{ "b": 1,\n"a": [true, null, "\\u00e9"] }'))
    answer = replica.get(f"/kv/{key}")
    assert (answer.status, answer.value("content-type")) == (200, "application/json")
    assert answer.body == '{"a":[true,null,"é"],"b":1}'.encode()
    assert stamp_of(answer) == stamp


def test_bytes_come_back_as_bytes(replica, key):
    raw = bytes(range(256))
    replica.put(f"/kv/{key}?upsert=true", raw, kind=OCTETS)
    answer = replica.get(f"/kv/{key}")
    assert (answer.value("content-type"), answer.body) == ("application/octet-stream", raw)


def test_an_empty_value_is_a_value(replica, key):
    replica.put(f"/kv/{key}?upsert=true", b"", kind=OCTETS)
    answer = replica.get(f"/kv/{key}")
    assert (answer.status, answer.value("content-type"), answer.body) == (200, "application/octet-stream", b"")


def test_head_says_what_get_says_without_the_body(replica, key):
    create(replica, key, "x" * 100)
    got, head = replica.get(f"/kv/{key}"), replica.ask("HEAD", f"/kv/{key}")
    assert (head.status, head.body, head.value("content-length")) == (200, b"", "102")
    assert [head.value(name) for name in ("etag", "lww-stamp", "content-type")] == [
        got.value(name) for name in ("etag", "lww-stamp", "content-type")]
    assert replica.ask("HEAD", f"/kv/{key}-not").status == 404


@pytest.mark.parametrize("condition", ['"{}"', 'W/"{}"', '"x", "{}"', '"x",W/"{}" , "y"', "*", ' "{}" ', ',, "{}",'])
def test_what_the_client_knows_is_not_sent_again(replica, key, condition):
    stamp = create(replica, key)
    answer = replica.get(f"/kv/{key}", ("If-None-Match", condition.replace("{}", stamp)))
    assert (answer.status, answer.body) == (304, b"")
    assert stamp_of(answer) == stamp


@pytest.mark.parametrize("condition", ['"x"', 'W/"x"', '""'])
def test_what_the_client_does_not_know_is_sent(replica, key, condition):
    create(replica, key)
    assert replica.get(f"/kv/{key}", ("If-None-Match", condition)).status == 200


def test_a_condition_that_is_none_is_400(replica, key):
    create(replica, key)
    for condition in ("x", '"x', '"x" "y"', '"x", *', "w/\"x\""):
        problem_of(replica.get(f"/kv/{key}", ("If-None-Match", condition)), 400)
        problem_of(replica.put(f"/kv/{key}", b"1", ("If-Match", condition)), 400)
        problem_of(replica.ask("DELETE", f"/kv/{key}", [("If-Match", condition)]), 400)


def test_an_absent_key_is_404_and_a_removed_one_names_its_tombstone(replica, key):
    assert problem_of(replica.get(f"/kv/{key}"), 404)
    assert replica.get(f"/kv/{key}").value("lww-tombstone") is None
    create(replica, key)
    gone = stamp_of(replica.ask("DELETE", f"/kv/{key}"))
    answer = replica.get(f"/kv/{key}")
    assert problem_of(answer, 404)
    assert (answer.value("lww-tombstone"), answer.value("etag")) == (gone, None)
    # A condition is about what is live.
    assert replica.get(f"/kv/{key}", ("If-None-Match", "*")).status == 404


# Keys.

@pytest.mark.parametrize(("path", "key"), [
    ("a%2Fb", "a/b"), ("a/b", "a/b"), ("a%252Fb", "a%2Fb"), ("caf%C3%A9", "café"), ("a%20b", "a b"), ("a+b", "a+b"),
    (".", "."), ("..", ".."), ("a/../b", "a/../b"), ("//", "//"), ("%0A", "\n"), ("a%3Fb%23", "a?b#"),
    ("a;b=c", "a;b=c"), ("%25", "%"), ("kv/kv", "kv/kv"), ("%F0%9F%90%99", "🐙"),
])
def test_a_key_is_everything_behind_kv_percent_decoded_once(replica, path, key):
    replica.put(f"/kv/{path}?upsert=true", json.dumps(path).encode())
    assert key in [item["key"] for item in replica.get("/kv?limit=1000").json()["items"]]
    assert replica.get(f"/kv/{path}").status == 200
    assert replica.ask("DELETE", f"/kv/{path}").status == 204


@pytest.mark.parametrize("path", ["%ff", "a%C3", "%ED%A0%80", "%C0%AF"])
def test_a_key_that_is_no_utf8_is_400(replica, path):
    for method in ("GET", "DELETE"):
        problem_of(replica.ask(method, f"/kv/{path}"), 400)
    problem_of(replica.put(f"/kv/{path}", b"1"), 400)


@pytest.mark.parametrize("path", ["%", "%zz", "%00"])
def test_an_escape_that_is_none_or_nul_is_400(replica, path):
    problem_of(replica.get(f"/kv/{path}"), 400)


def test_a_key_with_nul_goes_in_a_body(replica, key):
    assert replica.post("/kv", json.dumps({"key": f"{key}\0", "value": 1}).encode()).status == 201
    assert f"{key}\0" in [item["key"] for item in replica.get(f"/kv?prefix={key}").json()["items"]]


def test_a_key_that_is_empty_or_too_long_is_422(replica):
    for name in ("", "x" * 101, "%C3%A9" * 51):
        for method in ("GET", "DELETE"):
            problem_of(replica.ask(method, f"/kv/{name}"), 422)
        problem_of(replica.put(f"/kv/{name}?upsert=true", b"1"), 422)
    for name in ("", "x" * 101, "é" * 51):
        problem_of(replica.post("/kv", json.dumps({"key": name, "value": 1}).encode()), 422)
    assert replica.get("/kv/" + "x" * 100).status == 404


# Add.

def test_an_add_is_201_and_says_where_and_when(replica, key):
    answer = replica.post("/kv", json.dumps({"key": f"{key}/é ?", "value": {"a": 1}}).encode())
    assert answer.status == 201
    stamp = stamp_of(answer)
    assert answer.json() == {"key": f"{key}/é ?", "stamp": stamp, "applied": True}
    assert answer.value("location") == f"/kv/{key}/%C3%A9%20%3F"
    assert replica.get(answer.value("location")).json() == {"a": 1}


def test_an_add_of_a_live_key_is_409_with_its_stamp(replica, key):
    stamp = create(replica, key)
    answer = replica.post("/kv", json.dumps({"key": key, "value": 2}).encode())
    assert problem_of(answer, 409)["stamp"] == stamp == stamp_of(answer)
    assert replica.get(f"/kv/{key}").json() == 1


def test_an_add_behind_a_removal_is_201(replica, key):
    create(replica, key)
    replica.ask("DELETE", f"/kv/{key}")
    assert replica.post("/kv", json.dumps({"key": key, "value": 2}).encode()).status == 201


def test_an_add_takes_bytes_in_base64(replica, key):
    body = {"key": key, "value_b64": base64.b64encode(b"\0\xff").decode()}
    assert replica.post("/kv", json.dumps(body).encode()).status == 201
    answer = replica.get(f"/kv/{key}")
    assert (answer.body, answer.value("content-type")) == (b"\0\xff", "application/octet-stream")


def test_null_is_a_value(replica, key):
    assert replica.post("/kv", json.dumps({"key": key, "value": None}).encode()).status == 201
    assert replica.get(f"/kv/{key}").body == b"null"


def test_of_racing_adds_exactly_one_gets_201(replica, key):
    start = threading.Barrier(8)
    rows: list[list[int]] = []

    def race(i: int) -> None:
        with Client(replica.address) as client:
            start.wait()
            rows.append([client.ask("POST", "/kv", JSON, json.dumps({"key": f"{key}-{n}", "value": i}).encode()).status
                         for n in range(20)])

    threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(column) for column in zip(*rows, strict=True)] == [[201] + [409] * 7] * 20


# Update.

def test_an_update_is_200_and_of_an_absent_key_404(replica, key):
    problem_of(replica.put(f"/kv/{key}", b"1"), 404)
    first = create(replica, key)
    answer = replica.put(f"/kv/{key}", b"2")
    assert answer.status == 200
    stamp = stamp_of(answer)
    assert stamp > first
    assert answer.json() == {"key": key, "stamp": stamp, "applied": True}
    assert answer.value("location") is None
    gone = stamp_of(replica.ask("DELETE", f"/kv/{key}"))
    answer = replica.put(f"/kv/{key}", b"3")
    assert problem_of(answer, 404)
    assert answer.value("lww-tombstone") == gone


def test_an_upsert_is_201_or_200(replica, key):
    answer = replica.put(f"/kv/{key}?upsert=true", b"1")
    assert (answer.status, answer.value("location")) == (201, f"/kv/{key}")
    assert replica.put(f"/kv/{key}?upsert=true", b"1").status == 200
    assert replica.put(f"/kv/{key}?upsert=false", b"1").status == 200
    assert replica.put(f"/kv/{key}-not?upsert=false", b"1").status == 404
    problem_of(replica.put(f"/kv/{key}?upsert=yes", b"1"), 422)


def test_if_none_match_star_writes_only_what_is_absent(replica, key):
    assert replica.put(f"/kv/{key}", b"1", ("If-None-Match", "*")).status == 201
    answer = replica.put(f"/kv/{key}", b"2", ("If-None-Match", "*"))
    assert problem_of(answer, 412)
    assert stamp_of(answer) == stamp_of(replica.get(f"/kv/{key}"))
    problem_of(replica.put(f"/kv/{key}?upsert=true", b"2", ("If-None-Match", "*")), 412)
    problem_of(replica.put(f"/kv/{key}", b"2", ("If-None-Match", '"x"')), 422)
    problem_of(replica.put(f"/kv/{key}", b"2", ("If-None-Match", "*"), ("If-Match", "*")), 422)
    problem_of(replica.ask("DELETE", f"/kv/{key}", [("If-None-Match", "*")]), 422)
    assert replica.get(f"/kv/{key}").body == b"1"


def test_if_match_writes_over_a_stamp_of_the_list(replica, key):
    first = create(replica, key)
    second = stamp_of(replica.put(f"/kv/{key}", b"2", ("If-Match", f'"x", "{first}"')))
    for tags in (f'"{first}"', f'W/"{second}"', '"nonsense"'):
        answer = replica.put(f"/kv/{key}", b"3", ("If-Match", tags))
        assert problem_of(answer, 412)["stamp"] == second == stamp_of(answer)
    assert replica.put(f"/kv/{key}", b"4", ("If-Match", "*")).status == 200
    assert replica.get(f"/kv/{key}").body == b"4"


def test_if_match_on_an_absent_key_is_412_without_a_tag(replica, key):
    for tags in ("*", '"x"'):
        for upsert in ("", "?upsert=true"):
            answer = replica.put(f"/kv/{key}{upsert}", b"1", ("If-Match", tags))
            assert problem_of(answer, 412)
            assert answer.value("etag") is None
        problem_of(replica.ask("DELETE", f"/kv/{key}", [("If-Match", tags)]), 412)
    create(replica, key)
    gone = stamp_of(replica.ask("DELETE", f"/kv/{key}"))
    problem_of(replica.put(f"/kv/{key}", b"1", ("If-Match", f'"{gone}"')), 412)


def test_of_racing_conditional_updates_exactly_one_wins(replica, key):
    stamp = create(replica, key)
    start = threading.Barrier(6)
    statuses: list[int] = []

    def race() -> None:
        with Client(replica.address) as client:
            start.wait()
            statuses.append(client.ask("PUT", f"/kv/{key}", [*JSON, ("If-Match", f'"{stamp}"')], b"2").status)

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 5


# Remove.

def test_a_removal_is_204_with_its_stamp_also_of_a_key_never_seen(replica, key):
    first = replica.ask("DELETE", f"/kv/{key}")
    assert (first.status, first.body) == (204, b"")
    second = replica.ask("DELETE", f"/kv/{key}")
    assert stamp_of(second) > stamp_of(first)
    assert replica.get(f"/kv/{key}").value("lww-tombstone") == stamp_of(second)


def test_a_removal_under_if_match_removes_that_value_only(replica, key):
    stamp = create(replica, key)
    problem_of(replica.ask("DELETE", f"/kv/{key}", [("If-Match", '"x"')]), 412)
    problem_of(replica.ask("DELETE", f"/kv/{key}", [("If-Match", f'W/"{stamp}"')]), 412)
    assert replica.ask("DELETE", f"/kv/{key}", [("If-Match", f'"{stamp}"')]).status == 204
    create(replica, key)
    assert replica.ask("DELETE", f"/kv/{key}", [("If-Match", "*")]).status == 204


# Bodies.

@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"NaN", b"Infinity", b"-Infinity", b"[1,]", b'"\xff"', b"01",
                                  b'"\\ud800"', b'{"a":NaN}', b"1 2", b"\xef\xbb\xbf1", b"[" * 10_000])
def test_what_is_no_json_is_400(replica, key, body):
    problem_of(replica.put(f"/kv/{key}?upsert=true", body), 400)
    assert replica.get(f"/kv/{key}").status == 404


def test_a_number_that_no_float_holds_is_422(replica, key):
    problem_of(replica.put(f"/kv/{key}?upsert=true", b"1e999"), 422)


@pytest.mark.parametrize("kind", [[], [("Content-Type", "text/plain")], [("Content-Type", "application/jsonx")],
                                  [("Content-Type", "application/vnd.x+json")]])
def test_another_type_is_415(replica, key, kind):
    problem_of(replica.put(f"/kv/{key}?upsert=true", b"1", kind=kind), 415)
    problem_of(replica.ask("POST", "/kv", kind, b'{"key":"k","value":1}'), 415)
    problem_of(replica.ask("POST", "/batch", kind, b'{"ops":[]}'), 415)


def test_parameters_and_case_of_a_type_do_not_matter(replica, key):
    for kind in ("Application/JSON", "application/json; charset=utf-8", "application/json;x=y"):
        assert replica.put(f"/kv/{key}?upsert=true", b"1", kind=[("Content-Type", kind)]).status in (200, 201)
    problem_of(replica.ask("POST", "/kv", OCTETS, b"x"), 415)


@pytest.mark.parametrize("body", [
    {}, {"key": "k"}, {"value": 1}, {"key": 1, "value": 1}, {"key": None, "value": 1}, [], 1, "k", None,
    {"key": "k", "value": 1, "value_b64": "AA=="}, {"key": "k", "value_b64": "!"}, {"key": "k", "value_b64": "AA"},
    {"key": "k", "value_b64": 1}, {"key": "k", "value": 1, "extra": 1}, {"key": "k", "valu": 1},
])
def test_another_shape_of_an_add_is_422(replica, body):
    problem_of(replica.post("/kv", json.dumps(body).encode()), 422)
    assert replica.get("/kv/k").status == 404


def test_of_a_member_that_comes_twice_the_last_counts(replica, key):
    assert replica.post("/kv", f'{{"key":"no","key":"{key}","value":1,"value":2}}'.encode()).status == 201
    assert replica.get(f"/kv/{key}").body == b"2"
    assert replica.get("/kv/no").status == 404


def test_a_value_over_its_limit_is_413(replica, key):
    limit = 10 * 1024
    assert replica.put(f"/kv/{key}?upsert=true", b"x" * limit, kind=OCTETS).status == 201
    problem_of(replica.put(f"/kv/{key}", b"x" * (limit + 1), kind=OCTETS), 413)
    problem_of(replica.put(f"/kv/{key}", json.dumps("x" * (limit - 1)).encode()), 413)
    problem_of(replica.post("/kv", json.dumps({"key": f"{key}2", "value": "x" * limit}).encode()), 413)
    whole = {"key": f"{key}3", "value_b64": base64.b64encode(b"x" * limit).decode()}
    assert replica.post("/kv", json.dumps(whole).encode()).status == 201
    more = {"key": f"{key}4", "value_b64": base64.b64encode(b"x" * (limit + 1)).decode()}
    problem_of(replica.post("/kv", json.dumps(more).encode()), 413)


# Methods.

@pytest.mark.parametrize(("path", "allow"), [
    ("/kv", "GET, HEAD, OPTIONS, POST"), ("/kv/x", "DELETE, GET, HEAD, OPTIONS, PUT"), ("/batch", "OPTIONS, POST"),
    ("/changes", "GET, HEAD, OPTIONS"), ("/snapshot", "GET, HEAD, OPTIONS"), ("/stats", "GET, HEAD, OPTIONS"),
    ("/sync/merge", "OPTIONS, POST"), ("/members", "GET, HEAD, OPTIONS, POST"), ("/members/b", "DELETE, OPTIONS"),
    ("/drill/cut", "OPTIONS, POST"),
])
def test_another_method_is_405_with_those_there_are(replica, path, allow):
    answer = replica.ask("PATCH", path)
    assert problem_of(answer, 405)
    assert answer.value("allow") == allow
    answer = replica.ask("OPTIONS", path)
    assert (answer.status, answer.value("allow")) == (204, allow)


def test_an_unknown_path_is_404(replica):
    for path in ("/nothing", "/kvx", "/kv%2Fx", "/members/b/c"):
        problem_of(replica.get(path), 404)


# Listing.

def test_a_listing_goes_on_where_it_stopped(replica, key):
    names = sorted(f"{key}/{n}" for n in ("b", "a", "é", "aa", "A", "~"))
    for name in names:
        replica.post("/kv", json.dumps({"key": name, "value": name}).encode())
    names.sort(key=str.encode)
    first = replica.get(f"/kv?prefix={key}/&limit=4").json()
    assert [item["key"] for item in first["items"]] == names[:4]
    assert first["after"] == names[3]
    second = replica.get(f"/kv?prefix={key}/&limit=4&after={names[3]}").json()
    assert ([item["key"] for item in second["items"]], second["after"]) == (names[4:], None)
    assert replica.get(f"/kv?prefix={key}/&limit=6").json()["after"] is None
    item = first["items"][0]
    assert (item["value"], set(item)) == (names[0], {"key", "stamp", "value"})
    assert item["stamp"] == stamp_of(replica.get(f"/kv/{names[0]}"))


def test_a_listing_shows_bytes_in_base64_and_no_tombstones(replica, key):
    replica.put(f"/kv/{key}-raw?upsert=true", b"\0\xff", kind=OCTETS)
    create(replica, f"{key}-gone")
    replica.ask("DELETE", f"/kv/{key}-gone")
    assert [(item["key"], item["value_b64"]) for item in replica.get(f"/kv?prefix={key}").json()["items"]] == [
        (f"{key}-raw", "AP8=")]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5", "١", "99999"])
def test_another_limit_is_422(replica, limit):
    problem_of(replica.get(f"/kv?limit={limit.encode().hex() and ''.join(f'%{b:02x}' for b in limit.encode())}"), 422)
    problem_of(replica.get(f"/changes?limit={''.join(f'%{b:02x}' for b in limit.encode())}"), 422)


def test_a_query_that_is_no_utf8_is_400(replica):
    problem_of(replica.get("/kv?prefix=%ff"), 400)


def test_a_page_ends_before_it_is_too_large(tmp_path):
    with serving(tmp_path, config="limits: {value: 4m}") as replica:
        for n in range(4):
            assert replica.put(f"/kv/{n}?upsert=true", b"x" * (3 * 1024 * 1024), kind=OCTETS).status == 201
        first = replica.get("/kv").json()
        assert ([item["key"] for item in first["items"]], first["after"]) == (["0", "1"], "1")
        second = replica.get("/kv?after=1").json()
        assert ([item["key"] for item in second["items"]], second["after"]) == (["2", "3"], None)


# Batch.

def batch(replica: Process, *ops: object) -> Answer:
    return replica.post("/batch", json.dumps({"ops": list(ops)}).encode())


def test_a_batch_answers_each_as_the_single_request_would(replica, key):
    stamp = create(replica, key, 0)
    fsyncs = replica.get("/stats").json()["journal"]["fsyncs"]
    answer = batch(
        replica,
        {"op": "add", "key": f"{key}1", "value": 1}, {"op": "add", "key": key, "value": 1},
        {"op": "update", "key": f"{key}1", "value": 2}, {"op": "update", "key": f"{key}2", "value": 1},
        {"op": "put", "key": f"{key}2", "value_b64": "AP8="}, {"op": "put", "key": f"{key}2", "value": None},
        {"op": "remove", "key": f"{key}2"}, {"op": "update", "key": f"{key}2", "value": 1},
        {"op": "update", "key": key, "value": 5, "if_match": stamp},
        {"op": "put", "key": key, "value": 6, "if_match": f'"{stamp}"'},
        {"op": "remove", "key": key, "if_match": "*"}, {"op": "remove", "key": key, "if_match": "*"},
    )
    assert answer.status == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [201, 409, 200, 404, 201, 200, 204, 404, 200, 412, 204, 412]
    assert results[1]["stamp"] == stamp
    assert results[3]["stamp"] is None
    assert results[7]["stamp"] == results[6]["stamp"]
    assert results[9]["stamp"] == results[8]["stamp"]
    assert results[11]["stamp"] is None
    assert replica.get("/stats").json()["journal"]["fsyncs"] == fsyncs + 1
    assert replica.get(f"/kv/{key}1").body == b"2"
    assert replica.get(f"/kv/{key}2").value("lww-tombstone") == results[6]["stamp"]


@pytest.mark.parametrize("op", [
    {}, {"op": "add"}, {"op": "add", "key": "x"}, {"op": "nope", "key": "x", "value": 1},
    {"op": "add", "key": "", "value": 1}, {"op": "add", "key": "x" * 101, "value": 1},
    {"op": "add", "key": "x", "value": 1, "value_b64": "AA=="}, {"op": "put", "key": "x", "value_b64": "A"},
    {"op": "remove", "key": "x", "value": 1}, {"op": "add", "key": "x", "value": 1, "if_match": "*"},
    {"op": "put", "key": "x", "value": 1, "if_match": '"x'}, {"op": "put", "key": "x", "value": 1, "if_match": 7},
    {"op": "put", "key": "x", "value": 1, "more": 1}, {"op": "put", "key": 1, "value": 1}, 1, None, [],
])
def test_with_one_malformed_operation_nothing_is_done(replica, key, op):
    problem_of(batch(replica, {"op": "put", "key": key, "value": 1}, op), 422)
    assert replica.get(f"/kv/{key}").status == 404


@pytest.mark.parametrize("body", [b'{"ops":1}', b"[]", b"{}", b'{"ops":[],"more":1}'])
def test_another_shape_of_a_batch_is_422(replica, body):
    problem_of(replica.post("/batch", body), 422)


def test_a_batch_over_a_limit_is_413(replica, key):
    ops = [{"op": "put", "key": f"{key}{n}", "value": n} for n in range(51)]
    problem_of(batch(replica, *ops), 413)
    assert replica.get(f"/kv/{key}0").status == 404
    assert batch(replica, *ops[:50]).status == 200
    assert batch(replica).json() == {"results": []}
    problem_of(replica.post("/batch", b" " * (64 * 1024) + b'{"ops":[]}'), 413)
    problem_of(batch(replica, {"op": "put", "key": key, "value": "x" * 10 * 1024}), 413)
    problem_of(replica.post("/batch", b"{"), 400)


# Snapshot.

def test_a_snapshot_is_a_delta_of_every_cell(replica, key):
    stamp = create(replica, key)
    gone = stamp_of(replica.ask("DELETE", f"/kv/{key}-gone"))
    answer = replica.get("/snapshot")
    assert answer.value("content-type") == "application/octet-stream"
    cells = {name: (made, live) for name, made, live, _ in map(parse, split(answer.body))}
    assert cells[key.encode()] == (Stamp.parse(stamp), True)
    assert cells[f"{key}-gone".encode()] == (Stamp.parse(gone), False)


def test_a_snapshot_as_lines_has_every_cell_too(replica, key):
    stamp = create(replica, key, {"a": 1})
    replica.put(f"/kv/{key}-raw?upsert=true", b"\xff", kind=OCTETS)
    gone = stamp_of(replica.ask("DELETE", f"/kv/{key}-gone"))
    answer = replica.get("/snapshot", ("Accept", "text/html, application/x-ndjson;q=0.5"))
    assert answer.value("content-type") == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    mine = {line["key"]: line for line in lines}
    assert mine[key] == {"key": key, "stamp": stamp, "live": True, "value": {"a": 1}}
    assert mine[f"{key}-gone"] == {"key": f"{key}-gone", "stamp": gone, "live": False}
    assert mine[f"{key}-raw"]["value_b64"] == "/w=="
    assert len(lines) == len(split(replica.get("/snapshot").body))


# What is told.

def test_stats_say_what_is_held(replica, key):
    before = replica.get("/stats").json()
    create(replica, key)
    create(replica, f"{key}2")
    replica.ask("DELETE", f"/kv/{key}")
    after = replica.get("/stats").json()
    assert after["live"] == before["live"] + 1
    assert after["tombstones"] == before["tombstones"] + 1
    assert (after["replica"], after["bias"], after["applied"]) == ("a", "add", before["applied"] + 3)
    assert after["journal"]["fsyncs"] > before["journal"]["fsyncs"]
    assert {"fsyncs", "bytes", "segments"} <= set(after["journal"])
    assert {"frontier", "collected"} <= set(after["gc"])


def test_metrics_are_those_of_the_server_and_ours(replica):
    text = replica.get("/metrics").body.decode()
    for name in ("hotpath_requests_total", 'hotpath_crdt_cells{kind="live"}', 'hotpath_crdt_cells_total{fate="stale"}',
                 'hotpath_crdt_refused_total{reason="drift"}', "hotpath_crdt_overwritten_total",
                 "# TYPE hotpath_crdt_skew_seconds gauge", "hotpath_crdt_fsyncs_total", 'kind="tombstone"'):
        assert name in text
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(families) == len(set(families))


def test_healthz_is_200(replica):
    assert replica.get("/healthz").status == 200


# Pages of other origins.

def test_the_page_of_a_member_may_read_everything(replica, key):
    create(replica, key)
    for method, target, body in (("GET", f"/kv/{key}", None), ("GET", "/kv", None), ("GET", "/changes", None),
                                 ("GET", f"/kv/{key}-not", None), ("POST", "/batch", b"{"), ("GET", "/members", None)):
        answer = replica.ask(method, target, [("Origin", "http://page.test:8080"), *(JSON if body else [])], body)
        assert answer.value("access-control-allow-origin") == "http://page.test:8080", target
        assert "LWW-Stamp" in (answer.value("access-control-expose-headers") or "")
        assert "Origin" in (answer.value("vary") or "")


@pytest.mark.parametrize("origin", ["http://page.test", "https://page.test:8080", "http://evil.test", "null", "*",
                                    "http://page.test:8080/", "http://PAGE.test:8080"])
def test_other_pages_may_not(replica, origin):
    answer = replica.get("/kv", ("Origin", origin))
    assert answer.status == 200
    assert answer.value("access-control-allow-origin") is None
    assert "Origin" in (answer.value("vary") or "")
    preflight = replica.ask("OPTIONS", "/kv/x", [("Origin", origin), ("Access-Control-Request-Method", "PUT")])
    assert preflight.value("access-control-allow-methods") is None


@pytest.mark.parametrize(("origin", "host", "status"), [
    ("http://evil.test", None, 403), ("null", None, 403), ("http://evil.test:8080", "evil.test:8080", 403),
    ("http://page.test:8080", None, 201), ("http://localhost:8080", "localhost:8080", 201)])
def test_no_foreign_page_changes_anything(replica, key, origin, host, status):
    """Neither by a request that needs no preflight, nor by having its own name point here."""
    fields = [("Origin", origin), *([("Host", host)] if host else []), ("Content-Type", "application/octet-stream")]
    assert replica.ask("PUT", f"/kv/{key}?upsert=true", fields, b"x").status == status
    assert replica.get(f"/kv/{key}").status == (200 if status == 201 else 404)


def test_a_preflight_of_a_members_page_is_told_what_it_may_do(replica):
    answer = replica.ask("OPTIONS", "/kv/x", [
        ("Origin", "http://page.test:8080"), ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "content-type,if-match")])
    assert answer.status == 204
    assert answer.value("access-control-allow-origin") == "http://page.test:8080"
    assert "PUT" in (answer.value("access-control-allow-methods") or "")
    allowed = (answer.value("access-control-allow-headers") or "").lower()
    assert {"authorization", "content-type", "if-match", "if-none-match"} <= set(allowed.split(", "))


def test_a_request_of_no_page_hears_nothing_of_origins(replica):
    assert replica.get("/kv").value("vary") is None
