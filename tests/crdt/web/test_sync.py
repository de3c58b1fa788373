"""What clients may merge and compare, and how members and drills are asked for."""
from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode, pack
from tests.crdt.clusters import CONFIG, Member, cluster

OCTETS = [("Content-Type", "application/octet-stream")]
JSON = [("Content-Type", "application/json")]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory):
    """A replica without peers, which takes old stamps up to an hour back."""
    config = CONFIG.replace("after: 24h", "after: 1h") + "limits: {key: 16, value: 64}\n"
    with cluster(tmp_path_factory.mktemp("one"), "a", config=config) as group:
        yield group["a"]


def stamp(ago_s: float = 0.0, name: str = "z") -> str:
    return str(Stamp(int((time.time() - ago_s) * 1000) << 16, name))


def cell(key: str = "k", **more: object) -> dict[str, object]:
    return {"key": key, "stamp": stamp(), "live": True, "value": 1, **more}


def merge(member: Member, *cells: dict[str, object], **more: object):
    return member.ask("POST", "/sync/merge", {"cells": list(cells), **more})


def test_a_stamp_that_no_clock_could_follow_is_refused(one: Member):
    answer = merge(one, {"key": "k", "live": False, "stamp": "ffffffffffffffff-a"})
    assert answer.status == 422


def test_json_cells_are_merged_and_a_second_time_ignored(one: Member):
    cells = [cell("j1"), cell("j2", value={"n": [1, None, "ü"]}), cell("j3", live=False)]
    del cells[2]["value"]
    answer = merge(one, *cells)
    assert (answer.status, answer.json()) == (200, {"applied": 3, "ignored": 0, "stale": 0})
    assert merge(one, *cells, bias="add").json() == {"applied": 0, "ignored": 3, "stale": 0}
    assert one.get("/kv/j2") == {"n": [1, None, "ü"]}
    assert one.ask("GET", "/kv/j3").value("LWW-Tombstone") == cells[2]["stamp"]


def test_keys_and_values_may_be_base64(one: Member):
    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    given = {"key_b64": b64(b"raw"), "stamp": stamp(), "live": True, "value_b64": b64(b"\0\xff")}
    assert merge(one, given).json()["applied"] == 1
    assert one.ask("GET", "/kv/raw").body == b"\0\xff"


def test_a_delta_is_merged(one: Member):
    table = LWWTable("z")
    table.put("d1", "x")
    table.remove("d2")
    assert one.ask("POST", "/sync/merge", table.delta(), OCTETS).json() == {"applied": 2, "ignored": 0, "stale": 0}
    assert one.get("/kv/d1") == "x"


@pytest.mark.parametrize(("given", "status"), [
    (cell(live=None), 422), (cell(stamp="x"), 422), (cell(stamp="0000000000000001-TOOLONG99"), 422),
    (cell(""), 422), (cell("k" * 17), 422), (cell(value="v" * 80), 413), (cell(value_b64="eA=="), 422),
    (cell(key_b64="eA=="), 422), (cell(live=False), 422), (cell(more=1), 422), (cell(value=1, key=5), 422),
    ({"key": "k", "stamp": "0000000000000001-z", "live": True}, 422), ({"key_b64": "###", "stamp": stamp(),
                                                                      "live": True, "value": 1}, 422),
    ({"stamp": stamp(), "live": True, "value": 1}, 422), (7, 422)])
def test_a_cell_that_is_none_is_refused_and_nothing_is_merged(one: Member, given, status):
    before = one.get("/sync/digest")["root"]
    answer = merge(one, cell("never"), given)
    assert answer.status == status, answer.body
    assert one.get("/sync/digest")["root"] == before


@pytest.mark.parametrize(("body", "kind", "status"), [
    (b"{", JSON, 400), (b"[]", JSON, 422), (b"{}", JSON, 422), (b'{"cells":[],"bias":"both"}', JSON, 422),
    (b'{"cells":[],"x":1}', JSON, 422), (b"\xff", JSON, 400), (b"x", OCTETS, 422), (b"", OCTETS, 422),
    (b"x", [("Content-Type", "text/plain")], 415), (b"x", [], 415)])
def test_a_body_that_is_none_is_refused(one: Member, body, kind, status):
    assert one.ask("POST", "/sync/merge", body, kind).status == status


@pytest.mark.parametrize(("key", "payload", "status"), [
    (b"k" * 17, b"\0v", 422),
    (b"", b"\0v", 422),
    (b"large", b"\0" + b"v" * 65, 413),
    (b"nan", b"\1NaN", 422),
    (b"cut", b'\1{"a":', 422),
])
def test_a_delta_holds_only_what_could_have_come_one_by_one(one: Member, key: bytes, payload: bytes, status: int):
    cells = [encode(b"beside", Stamp.parse(stamp()), True, b"\0fine"), encode(key, Stamp.parse(stamp()), True, payload)]
    before = one.get("/sync/digest")["root"]
    assert one.ask("POST", "/sync/merge", bundle(cells, "add"), OCTETS).status == status
    assert one.get("/sync/digest")["root"] == before


def test_another_bias_is_refused(one: Member):
    assert merge(one, cell(), bias="remove").status == 409
    delta = bundle([encode(b"k", Stamp.parse(stamp()), True, pack(1))], "remove")
    assert one.ask("POST", "/sync/merge", delta, OCTETS).status == 409


def test_a_cell_ahead_of_the_bound_is_refused_whole_with_both_clocks(one: Member):
    answer = merge(one, cell("ahead"), cell(stamp=stamp(-60)))
    assert answer.status == 409
    problem = answer.json()
    assert 50_000 < problem["remote_ms"] - problem["local_ms"] < 70_000
    assert one.ask("GET", "/kv/ahead").status == 404


def test_a_cell_older_than_what_was_promised_is_refused_whole(one: Member):
    from tests.waiting import wait_for
    wait_for(lambda: one.get("/stats")["gc"]["frontier"] > 0, "a promise")
    assert merge(one, cell("old"), cell(stamp=stamp(7200))).status == 409
    assert one.ask("GET", "/kv/old").status == 404
    assert merge(one, cell("fine", stamp=stamp(1800))).status == 200


def test_the_digest_is_told_in_words_and_in_bytes(one: Member):
    said = one.get("/sync/digest")
    assert {*said} == {"replica", "bias", "root", "live", "tombstones", "clock", "collected"}
    assert (said["replica"], said["bias"]) == ("a", "add")
    digest = one.ask("GET", "/sync/digest", None, [("Accept", "application/octet-stream")]).body
    assert digest[:4] == b"LWWG"
    assert int.from_bytes(digest[8:16], "big") == one.get("/sync/digest")["root"]


def test_known_paths_refuse_other_methods(one: Member):
    for path in ("/sync/merge", "/sync/exchange", "/sync/cells", "/drill/cut", "/drill/heal"):
        answer = one.ask("PUT", path, {})
        assert answer.status == 405
        assert "POST" in (answer.value("Allow") or "")


def test_members_are_added_listed_and_forgotten(one: Member):
    new = {"name": "m", "url": "http://127.0.0.1:9", "public": "http://page.example"}
    assert one.ask("POST", "/members", new).status == 201
    assert one.ask("POST", "/members", new).status == 200
    (member,) = one.get("/members")["members"]
    assert {key: member[key] for key in ("name", "url", "public", "state", "seen_s", "skew_ms")} == {
        **new, "state": "down", "seen_s": None, "skew_ms": None}
    assert one.ask("DELETE", "/members/m").status == 204
    assert one.ask("DELETE", "/members/m").status == 404
    assert one.get("/members") == {"self": "a", "members": []}


@pytest.mark.parametrize(("given", "status"), [
    ({"name": "A", "url": "http://h"}, 422), ({"name": "a", "url": "http://h"}, 422), ({"name": "b"}, 422),
    ({"name": "b", "url": "ftp://h"}, 422), ({"name": "b", "url": "http://h:99999"}, 422),
    ({"name": "b", "url": "http://["}, 422), ({"name": "b", "url": "http://h", "public": "http://h:x"}, 422),
    ({"name": "b", "url": "http://h", "x": 1}, 422), ([], 422)])
def test_a_member_that_is_none_is_refused(one: Member, given, status):
    assert one.ask("POST", "/members", given).status == status
    assert one.get("/members")["members"] == []


def test_drills_name_members_and_are_off_unless_asked_for(one: Member, tmp_path: Path):
    assert one.ask("POST", "/drill/cut", {"peers": ["z"]}).status == 404
    assert one.ask("POST", "/drill/cut", {"peers": 1}).status == 422
    assert one.ask("POST", "/drill/cut", {"peers": []}).json() == {"cut": []}
    with cluster(tmp_path, "b", config=CONFIG.replace("drill: true", "drill: false")) as group:
        for what in ("cut", "heal"):
            assert group["b"].ask("POST", f"/drill/{what}", {"peers": []}).status == 404
