"""Rows over HTTP: each request gets the status that says who must act, and nothing but the row it names is touched."""
from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.clients import Answer, Client, CutShort, chunked
from tests.clients import fetch as fetch_once
from tests.shard.web.standin import standing_in

JSON = [("Content-Type", "application/json")]
LINES = [("Content-Type", "application/x-ndjson")]
PROBLEM = "application/problem+json"

T = "/v1/tables"
LONG = "ü/" * 127 + "%"         # 255 code points


@pytest.fixture(scope="module")
def address():
    with standing_in("limits: {row: 4k, bulk: 64k, list: 100}\n") as served:
        yield served.address


@pytest.fixture
def ask(address):
    """`ask(method, target, body, fields)`: an answer; a body that is no bytes is sent as JSON."""
    def asked(method: str, target: str, body: object = None, fields: list[tuple[str, str]] | None = None) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return fetch_once(address, target, method, JSON if fields is None and data is not None else fields or [], data)

    return asked


def problem_of(answer: Answer, status: int) -> dict:
    assert answer.status == status, answer.body
    assert answer.value("content-type") == PROBLEM
    told = answer.json()
    assert told["status"] == status
    assert told["title"]
    return told


# One row

def test_a_row_lives_and_dies(ask):
    made = ask("POST", f"{T}/posts", {"id": 7, "author": "ada"})
    assert (made.status, made.value("location")) == (201, f"{T}/posts/7")
    row = {"id": 7, "author": "ada", "likes": 0, "note": None}
    assert made.json() == row
    shard = made.value("hotpath-shard")
    assert shard in ("s0", "s1", "s2")
    read = ask("GET", f"{T}/posts/7")
    assert (read.status, read.json(), read.value("hotpath-shard")) == (200, row, shard)
    head = ask("HEAD", f"{T}/posts/7")
    assert (head.status, head.body, head.value("content-length")) == (200, b"", read.value("content-length"))
    changed = ask("PATCH", f"{T}/posts/7", {"likes": {"$add": 3}, "note": "n"})
    assert (changed.status, changed.body, changed.value("hotpath-shard")) == (204, b"", shard)
    assert ask("GET", f"{T}/posts/7").json() == {**row, "likes": 3, "note": "n"}
    put = ask("PUT", f"{T}/posts/7", {"author": "bob"})
    assert (put.status, put.json()) == (200, {**row, "author": "bob"})
    assert ask("DELETE", f"{T}/posts/7").status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"likes": 1})):
        answer = ask(method, f"{T}/posts/7", body)
        problem_of(answer, 404)
        assert answer.value("hotpath-shard") is None
    assert ask("PUT", f"{T}/posts/7", {"id": 7, "author": "eve"}).status == 201


def test_a_second_insert_is_a_conflict_and_changes_nothing(ask):
    assert ask("POST", f"{T}/posts", {"id": 8, "author": "first"}).status == 201
    answer = ask("POST", f"{T}/posts", {"id": 8, "author": "second"})
    assert "exists" in problem_of(answer, 409)["detail"]
    assert ask("GET", f"{T}/posts/8").json()["author"] == "first"


def test_generated_keys_rise(ask):
    keys = [ask("POST", f"{T}/posts", {"author": "ada"}).json()["id"] for _ in range(3)]
    assert keys == sorted(set(keys))
    assert keys[0] > 0
    assert ask("GET", f"{T}/posts/{keys[2]}").status == 200


@pytest.mark.parametrize("key", ["a", "a b", "a/b", "a%2Fb", "%", "ünïcode", "日本", "?", "#", "a&b=c", " ", "+",
                                 "\U0001f600", "'\"", "..x", "\\", LONG, ""])
def test_a_string_key_is_what_the_path_spells_once_decoded(ask, key):
    path = f"{T}/pages/{quote(key, safe='')}"
    made = ask("PUT", path, {"body": key})
    assert made.status in (200, 201)
    assert made.json() == {"path": key, "body": key}
    assert ask("GET", path).json()["path"] == key
    assert ask("DELETE", path).status == 204
    posted = ask("POST", f"{T}/pages", {"path": key})
    assert posted.status == 201
    assert ask("GET", posted.value("location")).json()["path"] == key
    assert ask("DELETE", posted.value("location")).status == 204


def test_an_escaped_slash_and_a_slash_are_the_same_key_and_other_letters_are_not(ask):
    assert ask("PUT", f"{T}/pages/x/y", {"body": "1"}).status == 201
    assert ask("GET", f"{T}/pages/x%2Fy").json()["body"] == "1"
    assert ask("GET", f"{T}/pages/X/y").status == 404
    assert ask("GET", f"{T}/pages/x/y/").status == 404


def test_a_dot_is_a_key_like_any_other(ask):
    made = ask("POST", f"{T}/pages", {"path": ".."})
    assert made.status == 201
    assert ask("GET", made.value("location")).json()["path"] == ".."
    assert ask("GET", f"{T}/pages/..").json()["path"] == ".."


@pytest.mark.parametrize(("data", "path"), [
    (b"\x00", "AA"), (b"\xfb\xff", "-_8"), (b"a" * 255, "YWFh" * 85), (b"", "")])
def test_a_binary_key_is_base64url_in_a_path_and_base64_in_json(ask, data, path):
    made = ask("POST", f"{T}/blobs", {"digest": base64.b64encode(data).decode(), "data": "AQI="})
    assert (made.status, made.value("location")) == (201, f"{T}/blobs/{path}")
    padded = base64.urlsafe_b64encode(data).decode()
    for spelled in (path, padded, quote(padded)):
        answer = ask("GET", f"{T}/blobs/{spelled}")
        assert answer.json() == {"digest": base64.b64encode(data).decode(), "data": "AQI="}


@pytest.mark.parametrize("target", [
    "posts/x", "posts/1.0", "posts/9223372036854775808", "posts/-9223372036854775809", "posts/", "posts/01", "posts/+1",
    "posts/1/", "posts/%31%00", "pages/%FF", "pages/%00", f"pages/{'a' * 256}", "blobs/A", "blobs/AA=",
    "blobs/AA===", "blobs/=", "blobs/a+b", "blobs/é", f"blobs/{'YWFh' * 86}", "posts/1%20"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_path_key_that_no_row_could_have_is_400(ask, method, target):
    body = {"author": "ada"} if method in ("PUT", "PATCH") else None
    problem_of(ask(method, f"{T}/{quote(target, safe='/%+=')}", body), 400)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_a_single_row_has_no_parameters(ask, method):
    answer = ask(method, f"{T}/posts/1?verbose=1", {"author": "x"} if method in ("PUT", "PATCH") else None)
    assert answer.status == 400
    assert ask("POST", f"{T}/posts?x=1", {"author": "x"}).status == 400


# Bodies

@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b'{"author": "a"', b"{'author': 1}", b'{"author": "a"} x', b'{"author": "\xff"}',
    b"\xef\xbb\xbf{}",
    b'{"author": NaN}', b'{"author": Infinity}', b'{"author": "a", "author": "b"}', b'{"author":"\t"}', b"nul",
    b'{"note": {"a": 1, "a": 2}}', b"[" * 4000, b'{"likes": 01}', b'{"likes": .5}', b'{"author": "\\x"}'])
@pytest.mark.parametrize(("method", "target"), [("POST", "posts"), ("PUT", "posts/1"), ("PATCH", "posts/1")])
def test_what_is_no_json_is_400(ask, method, target, body):
    problem_of(ask(method, f"{T}/{target}", body), 400)


@pytest.mark.parametrize(("body", "path"), [
    ('{"author": "a", "nothing": 1}', "nothing"), ('{"author": 5}', "author"), ('{"author": null}', "author"),
    ('{"author": "a", "likes": 1.0}', "likes"), ('{"author": "a", "likes": true}', "likes"),
    ('{"author": "a", "likes": "1"}', "likes"), ('{"author": "a", "likes": 2147483648}', "likes"),
    ('{"author": "a", "likes": ' + "9" * 40 + "}", "likes"), ('{"author": "a", "likes": ' + "9" * 4000 + "}", "likes"),
    ('{"author": "' + "ü" * 65 + '"}', "author"), ('{"author": "a\\u0000"}', "author"),
    ('{"author": "\\ud800"}', "author"), ("[]", ""), ("5", ""), ("null", ""), ('"a"', "")])
def test_what_breaks_the_declaration_is_422_and_says_where(ask, body, path):
    for method, target in (("PUT", "posts/3001"), ("PATCH", "posts/3001")):
        told = problem_of(ask(method, f"{T}/{target}", body.encode()), 422)
        assert path in [one["path"] for one in told["errors"]]
        assert all(one["message"] for one in told["errors"])
    if not body.startswith("["):
        told = problem_of(ask("POST", f"{T}/posts", body.encode()), 422)
        assert path in [one["path"] for one in told["errors"]]
    assert ask("GET", f"{T}/posts/3001").status == 404


def test_a_number_longer_than_python_reads_is_422():
    with standing_in() as served:
        answer = fetch_once(served.address, f"{T}/posts", "POST", JSON, b'{"author": "a", "likes": %b}' % (b"1" * 5000))
        problem_of(answer, 422)


def test_missing_columns_and_a_changed_key_are_422(ask):
    assert [one["path"] for one in problem_of(ask("POST", f"{T}/posts", {}), 422)["errors"]] == ["author"]
    assert [one["path"] for one in problem_of(ask("POST", f"{T}/pages", {}), 422)["errors"]] == ["path"]
    told = problem_of(ask("PUT", f"{T}/posts/1", {"id": 2, "author": "a"}), 422)
    assert "id" in [one["path"] for one in told["errors"]]
    assert ask("PUT", f"{T}/posts/4001", {"author": "a"}).status == 201
    assert "id" in [one["path"] for one in problem_of(ask("PATCH", f"{T}/posts/4001", {"id": 2}), 422)["errors"]]


def test_a_sum_out_of_range_is_422_and_changes_nothing(ask):
    ask("PUT", f"{T}/posts/4002", {"author": "a", "likes": 2**31 - 1})
    assert problem_of(ask("PATCH", f"{T}/posts/4002", {"likes": {"$add": 1}}), 422)["errors"][0]["path"] == "likes"
    assert ask("GET", f"{T}/posts/4002").json()["likes"] == 2**31 - 1


@pytest.mark.parametrize("fields", [
    [], [("Content-Type", "text/plain")], [("Content-Type", "application/x-www-form-urlencoded")],
    [("Content-Type", "application/jsonx")], [*JSON, ("Content-Encoding", "gzip")]])
@pytest.mark.parametrize(("method", "target"), [("POST", "posts"), ("PUT", "posts/1"), ("PATCH", "posts/1")])
def test_another_type_of_body_is_415(ask, method, target, fields):
    problem_of(ask(method, f"{T}/{target}", b'{"author": "a"}', fields), 415)


def test_a_content_type_may_have_parameters_and_any_case(ask):
    fields = [("Content-Type", "Application/JSON; charset=utf-8")]
    assert ask("PUT", f"{T}/posts/4003", b'{"author": "a"}', fields).status == 201


def test_a_put_of_lines_is_415(ask):
    problem_of(ask("PUT", f"{T}/posts/1", b"{}", LINES), 415)


def test_a_body_over_its_limit_is_413(ask, address):
    large = json.dumps({"author": "a", "note": "x" * 4096}).encode()
    for method, target in (("POST", "posts"), ("PUT", "posts/1"), ("PATCH", "posts/1")):
        problem_of(ask(method, f"{T}/{target}", large), 413)
        with Client(address) as client:
            client.send(f"{method} {T}/{target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(large))
            assert client.answer().status == 413
    problem_of(ask("POST", f"{T}/posts", b"[" + b" " * 65536 + b"]"), 413)
    assert ask("POST", f"{T}/posts", b"[" + b" " * 60000 + b"]").status == 200


def test_json_columns_take_any_json_and_give_it_back(ask):
    doc = {"a": [1, 2.5, None, True, {"b": "ü"}], "big": 2**63}
    made = ask("PUT", f"{T}/kinds/1", {"doc": doc, "d": "1.50", "x": 1, "at": "2026-01-31T13:00:00+01:00", "ok": True})
    assert made.status == 201, made.body
    assert made.json() == {"id": 1, "d": "1.50", "x": 1, "at": "2026-01-31T12:00:00.000000Z", "ok": True, "doc": doc}
    assert ask("PUT", f"{T}/kinds/2", b'{"doc": 1e400}').status in (400, 422)
    assert ask("PUT", f"{T}/kinds/2", b'{"x": 1e400}').status == 422
    deep = b'{"doc": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert ask("PUT", f"{T}/kinds/3", deep).status in (201, 400, 422)


# What a shard cannot do

@pytest.mark.parametrize(("author", "outcome", "retry"), [
    ("down", "none", "3"), ("busy", "none", "1"), ("lost", "unknown", "1")])
def test_a_shard_that_cannot_answer_is_503_with_its_name_and_the_outcome(ask, author, outcome, retry):
    for method, target in (("POST", "posts"), ("PUT", "posts/1"), ("PATCH", "posts/1")):
        answer = ask(method, f"{T}/{target}", {"author": author})
        told = problem_of(answer, 503)
        assert (told["shard"], told["outcome"], answer.value("retry-after")) == ("s1", outcome, retry)


def test_a_mistake_of_ours_is_500_without_a_trace(ask):
    told = problem_of(ask("PUT", f"{T}/posts/1", {"author": "broken"}), 500)
    assert told["instance"].startswith("urn:uuid:")
    assert "mistake" not in json.dumps(told)


def test_a_list_that_cannot_be_whole_is_503():
    def fail(node):
        node.is_down = True

    with standing_in(prepare=fail) as served:
        answer = fetch_once(served.address, f"{T}/posts")
        told = problem_of(answer, 503)
        assert (told["shard"], told["outcome"]) == ("s2", "none")
        assert answer.value("retry-after") == "1"


def test_a_stuck_shard_does_not_delay_another():
    with standing_in("pool: {max: 2, wait: 300ms}\n") as served:
        def put(key: int, author: str) -> Answer:
            return fetch_once(served.address, f"{T}/posts/{key}", "PUT", JSON, json.dumps({"author": author}).encode())

        home = {key: put(key, "a").value("hotpath-shard") for key in range(60)}
        stuck = [key for key, shard in home.items() if shard == "s1"]
        other = next(key for key, shard in home.items() if shard == "s2")
        def wait(key: int) -> None:
            with suppress(CutShort):            # the server ends first
                put(key, "slow")

        waiting = [threading.Thread(target=wait, args=(key,)) for key in stuck[:2]]
        for thread in waiting:
            thread.start()
        refused = None
        while refused is None or refused.status != 503:
            refused = put(stuck[3], "a")
        told = problem_of(refused, 503)
        assert (told["shard"], told["outcome"]) == ("s1", "none")
        assert put(other, "a").status == 200
        metrics = fetch_once(served.address, "/metrics").body.decode()
        assert 'hotpath_shard_pool_wait_seconds_count{shard="s1"}' in metrics
    for thread in waiting:
        thread.join()


# Many rows

def test_an_array_is_inserted_row_by_row(ask):
    answer = ask("POST", f"{T}/posts", [
        {"id": 100, "author": "a"}, {"id": 100, "author": "b"}, {"author": 5}, {"author": "c"}, 7, {"author": "down"}])
    assert answer.status == 200
    told = answer.json()
    assert told["inserted"] == 2
    assert [(one["index"], one["status"]) for one in told["failed"]] == [(1, 409), (2, 422), (4, 422), (5, 503)]
    assert all(one["detail"] for one in told["failed"])
    assert [set(one) - {"index", "status", "detail"} for one in told["failed"]] == [
        set(), set(), set(), {"shard", "outcome"}]
    assert ask("GET", f"{T}/posts/100").json()["author"] == "a"
    assert answer.value("hotpath-shard") is None


def test_lines_stand_alone_even_where_one_is_no_json(ask):
    body = b'{"id": 200, "author": "a"}\n{"id": 201,\r\n\n{"id": 202, "author": "c"}\n{"id": 203, "author": "\xff"}\n' \
           b'{"id": 204, "id": 205, "author": "x"}\n{"id": 200, "author": "a"}'
    answer = ask("POST", f"{T}/posts", body, LINES)
    assert answer.status == 200
    told = answer.json()
    assert told["inserted"] == 2
    assert [(one["index"], one["status"]) for one in told["failed"]] == [(1, 400), (3, 400), (4, 400), (5, 409)]
    assert ask("GET", f"{T}/posts/202").status == 200


def test_of_nothing_nothing_is_inserted(ask):
    for body, fields in ((b"[]", JSON), (b"", LINES), (b"\n\n", LINES)):
        assert ask("POST", f"{T}/posts", body, fields).json() == {"inserted": 0, "failed": []}


def test_a_broken_array_is_400_and_inserts_nothing(ask):
    problem_of(ask("POST", f"{T}/posts", b'[{"id": 300, "author": "a"}, {]'), 400)
    assert ask("GET", f"{T}/posts/300").status == 404


def test_rows_come_as_asked_and_missing_keys_are_named(ask):
    for key in ("m/1", "m 2"):
        ask("PUT", f"{T}/pages/{quote(key, safe='')}", {"body": key})
    answer = ask("GET", f"{T}/pages?key=m+2&key=nothing&key=m%2F1&key=m/1")
    assert answer.status == 200
    assert [row["path"] for row in answer.json()["rows"]] == ["m 2", "m/1", "m/1"]
    assert answer.json()["missing"] == ["nothing"]
    assert ask("GET", f"{T}/posts?key=99999&key=99998").json() == {"rows": [], "missing": [99999, 99998]}
    assert ask("GET", f"{T}/blobs?key=_-8").json()["missing"] == ["/+8="]


@pytest.mark.parametrize("query", [
    "key=x", "key=1&key=x", "key=1&limit=5", "key=1&fields=id", "key=1&aggregate=count", "key=1&where.id=1", "key=%FF",
    "&".join(f"key={n}" for n in range(501)), "limit=0", "limit=101", "limit=x", "limit=1&limit=2", "limit=",
    "nothing=1",
    "where.nothing=1", "where.likes=x", "where.likes.foo=1", "order=nothing", "fields=nothing", "fields=", "cursor=xx",
    "order=id&order=likes", "aggregate=", "aggregate=count&limit=1", "aggregate=nothing", "aggregate=sum(author)",
    "aggregate=count&order=id", "aggregate=count,count", "where.author=%FF", "=1", "&".join(["x=1"] * 1001)])
def test_a_bad_query_is_400(ask, query):
    problem_of(ask("GET", f"{T}/posts?{query}"), 400)


def test_500_keys_are_answered(ask):
    answer = ask("GET", f"{T}/posts?{'&'.join(f'key={10**12 + n}' for n in range(500))}")
    assert (answer.status, len(answer.json()["missing"])) == (200, 500)


def test_pages_follow_their_cursor(ask):
    ask("POST", f"{T}/kinds", [{"id": 1000 + n} for n in range(5)])
    first = ask("GET", f"{T}/kinds?limit=2&order=-id&fields=id").json()
    assert first["rows"] == [{"id": 1004}, {"id": 1003}]
    assert isinstance(first["next"], str)
    assert ask("GET", f"{T}/kinds?limit=100").json()["next"] is None
    assert ask("HEAD", f"{T}/kinds?limit=100").status == 200
    problem_of(ask("GET", f"{T}/kinds?limit=2&order=id&cursor={first['next']}"), 400)      # of another list


def test_aggregates_of_nothing_are_0_and_null(ask):
    assert ask("GET", f"{T}/blobs?aggregate=count,min(digest)").status == 200
    with standing_in() as served:
        answer = fetch_once(served.address, f"{T}/posts?aggregate=count,sum(likes),min(author),max(id)")
        assert answer.json() == {"count": 0, "sum(likes)": None, "min(author)": None, "max(id)": None}


# Tables, methods

def test_tables_are_told_as_declared(ask):
    told = ask("GET", T).json()
    assert told["tables"]["posts"] == {
        "key": "id", "columns": {"id": "bigint", "author": "string(64)", "likes": "int", "note": "text?"}}
    assert list(told["tables"]) == ["posts", "pages", "blobs", "kinds"]
    assert ask("GET", f"{T}?x=1").status == 400


@pytest.mark.parametrize(("method", "target"), [
    ("GET", "nothing"), ("POST", "nothing"), ("GET", "nothing/1"), ("PUT", "nothing/1"), ("PATCH", "nothing/a/b"),
    ("DELETE", "nothing/1"), ("DELETE", "nothing"), ("GET", "Posts/1"), ("HEAD", "nothing")])
def test_a_table_that_is_not_declared_is_404(ask, method, target):
    body = {} if method in ("POST", "PUT", "PATCH") else None
    assert ask(method, f"{T}/{target}", body).status == 404


@pytest.mark.parametrize(("method", "target", "allow"), [
    ("POST", "posts/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"), ("DELETE", "posts", "GET, HEAD, OPTIONS, POST"),
    ("PUT", "posts", "GET, HEAD, OPTIONS, POST"), ("PATCH", "posts", "GET, HEAD, OPTIONS, POST"),
    ("POST", "", "GET, HEAD, OPTIONS")])
def test_another_method_is_405_with_what_is_allowed(ask, method, target, allow):
    answer = ask(method, f"{T}/{target}".rstrip("/"), {})
    problem_of(answer, 405)
    assert answer.value("allow") == allow


def test_options_tells_what_is_allowed(ask):
    for target, allow in (("posts/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"), ("posts/a/b", "DELETE, GET, HEAD, "
                          "OPTIONS, PATCH, PUT"), ("posts", None)):
        answer = ask("OPTIONS", f"{T}/{target}")
        assert answer.status == 204
        if allow:
            assert answer.value("allow") == allow
        else:
            assert {"GET", "HEAD", "OPTIONS", "POST"} <= {word.strip() for word in answer.value("allow").split(",")}
