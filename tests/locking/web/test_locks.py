"""A lock shuts out all but its holder, for as long as it lasts; a holder that comes late is shut out by its token."""
from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from hotpath import locking
from hotpath.locking.lease import acquire
from hotpath.locking.web.tables import Item
from tests.clients import Client
from tests.locking.databases import waiting
from tests.locking.web.servers import JSON, asked, problem_of
from tests.waiting import wait_for

ACTIVE = 'hotpath_connections{state="active"}'


def expired(served, item):
    wait_for(lambda: served.get(item).json()["lock"] is None, "the end of the lock")


def test_a_lock_is_taken_shown_and_released(served):
    item = served.item()
    answer = served.ask("POST", f"{item}/lock", {"owner": "ann", "ttl": 3600})
    told = answer.json()
    assert (answer.status, answer.value("lock-token")) == (201, str(told["token"]))
    assert set(told) == {"owner", "token", "expires"}
    assert (told["owner"], type(told["token"])) == ("ann", int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["expires"])
    left = datetime.fromisoformat(told["expires"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < left < timedelta(minutes=70)
    shown = served.get(item)
    assert shown.json()["lock"] == {"owner": "ann", "expires": told["expires"]}
    assert shown.value("etag") == '"v1"'
    assert [one["lock"] for one in served.get("/items").json()["items"] if f"/items/{one['id']}" == item] == [
        {"owner": "ann", "expires": told["expires"]}]
    assert served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", str(told["token"]))]).status == 204
    assert served.get(item).json()["lock"] is None


def test_a_lock_lasts_half_a_minute_unless_it_is_told_otherwise(served):
    item = served.item()
    served.lock(item)
    left = datetime.fromisoformat(served.get(item).json()["lock"]["expires"]) - datetime.now(UTC)
    assert timedelta(seconds=1) < left < timedelta(seconds=60)


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_a_lock_that_is_held_goes_to_nobody_else_not_even_to_its_owner(served, owner):
    item = served.item()
    served.lock(item, ttl=100)
    answer = served.ask("POST", f"{item}/lock", {"owner": owner})
    assert problem_of(answer, 423)["owner"] == "ann"
    assert 1 <= int(answer.value("retry-after")) <= 100


def test_only_the_holder_writes(served):
    item = served.item()
    token = served.lock(item)
    wrong = str(int(token) + 1)
    for answer in (served.put(item, '"v1"'), served.put(item, '"v1"', wrong), served.put(item, '"v1"', "0"),
                   served.put(item, '"v1"', "9" * 18), served.delete(item, '"v1"'), served.delete(item, "*", wrong)):
        assert problem_of(answer, 423)["owner"] == "ann"
        assert answer.value("retry-after")
    answer = served.put(item, '"v1"', token)
    assert (answer.status, answer.value("etag")) == (200, '"v2"')
    assert answer.json()["lock"]["owner"] == "ann"
    assert served.delete(item, '"v2"', token).status == 204


def test_the_lock_is_asked_after_the_version(served):
    """404, 428, 412, 423."""
    item = served.item()
    token = served.lock(item)
    problem_of(served.put(item, None), 428)
    problem_of(served.put(item, '"v2"'), 412)
    problem_of(served.put(item, None, token), 428)
    problem_of(served.put(item, '"v2"', token), 412)
    assert served.delete(item, "*", token).status == 204
    problem_of(served.put(item, None, token), 404)


def test_a_holder_that_paused_for_longer_than_its_lock_is_shut_out(served):
    """Whether nobody holds the lock by then, or somebody else; or has held it."""
    item = served.item()
    late = served.lock(item, ttl=0.05)
    expired(served, item)
    problem_of(served.put(item, '"v1"', late), 423)
    problem_of(served.delete(item, '"v1"', late), 423)
    problem_of(served.ask("PUT", f"{item}/lock", None, [("Lock-Token", late)]), 423)
    problem_of(served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", late)]), 423)
    newer = served.lock(item, "bob")
    assert int(newer) > int(late)
    assert problem_of(served.put(item, '"v1"', late), 423)["owner"] == "bob"
    assert served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", newer)]).status == 204
    problem_of(served.put(item, '"v1"', late), 423)
    problem_of(served.put(item, '"v1"', newer), 423)
    assert served.get(item).json()["version"] == 1


def test_whoever_sends_no_token_is_not_shut_out_by_a_lock_that_is_over(served):
    """The control: it is the token that shuts a late holder out, not the version."""
    item = served.item()
    served.lock(item, ttl=0.05)
    expired(served, item)
    assert served.put(item, '"v1"').status == 200


def test_a_token_was_never_used_before(served):
    item = served.item()
    tokens = []
    for _ in range(5):
        tokens.append(int(served.lock(item)))
        assert served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", str(tokens[-1]))]).status == 204
    assert tokens == sorted(set(tokens))


def test_a_lock_is_renewed_for_as_long_as_it_was_taken(served):
    item = served.item()
    token = served.lock(item, ttl=1000)
    fields = [("Lock-Token", token)]

    def left_s():
        return (datetime.fromisoformat(served.get(item).json()["lock"]["expires"]) - datetime.now(UTC)).total_seconds()

    assert served.ask("PUT", f"{item}/lock", {"ttl": 5000}, fields).status == 204
    assert 4000 < left_s() < 6000
    assert served.ask("PUT", f"{item}/lock", {}, fields).status == 204
    assert 4000 < left_s() < 6000
    assert served.ask("PUT", f"{item}/lock", {"ttl": 500}, fields).status == 204
    answer = served.ask("PUT", f"{item}/lock", None, fields)
    assert (answer.status, answer.body) == (204, b"")
    assert 300 < left_s() < 700
    assert served.put(item, "*", token).status == 200


def test_renewal_and_release_need_the_token(served):
    item = served.item()
    token = served.lock(item)
    for method in ("PUT", "DELETE"):
        problem_of(served.ask(method, f"{item}/lock"), 428)
        assert problem_of(served.ask(method, f"{item}/lock", None, [("Lock-Token", f"{int(token) + 1}")]), 423)["owner"]
        problem_of(served.ask(method, "/items/99999/lock", None, [("Lock-Token", token)]), 404)
        problem_of(served.ask(method, "/items/99999/lock"), 404)
    assert served.get(item).json()["lock"]["owner"] == "ann"
    assert served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", token)]).status == 204
    for method in ("PUT", "DELETE"):
        problem_of(served.ask(method, f"{item}/lock", None, [("Lock-Token", token)]), 423)
        problem_of(served.ask(method, f"{item}/lock"), 428)


@pytest.mark.parametrize("token", ["", "x", "1.0", "-1", "+1", " ", "1 2", "0x1", "1, 2", "٣", "9" * 19, "1" * 5000])
def test_a_token_that_is_no_integer(small, token):
    item = small.item()
    sent = token.encode().decode("latin-1")
    problem_of(small.put(item, "*", sent), 400)
    problem_of(small.delete(item, "*", sent), 400)
    for method in ("PUT", "DELETE"):
        problem_of(small.ask(method, f"{item}/lock", None, [("Lock-Token", sent)]), 400)


@pytest.mark.parametrize("body", [
    {}, {"owner": ""}, {"owner": "a" * 256}, {"owner": 1}, {"owner": None}, {"owner": "a\0"}, {"owner": "a", "ttl": 0},
    {"owner": "a", "ttl": -1}, {"owner": "a", "ttl": 86401}, {"owner": "a", "ttl": "30"}, {"owner": "a", "ttl": True},
    {"owner": "a", "ttl": None}, {"owner": "a", "ttl": 1e308}, {"owner": "a", "token": 7}, [], "a", 1])
def test_a_lock_with_wrong_fields(small, body):
    item = small.item()
    problem_of(small.ask("POST", f"{item}/lock", body), 422)
    assert small.get(item).json()["lock"] is None


@pytest.mark.parametrize("ttl", [0, -1, 86401, "30", True])
def test_a_renewal_with_wrong_fields(small, ttl):
    item = small.item()
    token = small.lock(item)
    problem_of(small.ask("PUT", f"{item}/lock", {"ttl": ttl}, [("Lock-Token", token)]), 422)


@pytest.mark.parametrize("owner", ["a" * 255, "\U0001f512" * 255, "Ann", "ann ", "\n"])
@pytest.mark.parametrize("ttl", [1e-9, 86400, 30.5])
def test_any_owner_holds_it(served, owner, ttl):
    item = served.item()
    answer = served.ask("POST", f"{item}/lock", {"owner": owner, "ttl": ttl})
    assert (answer.status, answer.json()["owner"]) == (201, owner)


def test_an_item_that_is_deleted_is_locked_no_more(served):
    item = served.item()
    token = served.lock(item)
    assert served.delete(item, "*", token).status == 204
    problem_of(served.ask("DELETE", f"{item}/lock", None, [("Lock-Token", token)]), 404)
    problem_of(served.ask("PUT", f"{item}/lock", None, [("Lock-Token", token)]), 404)
    problem_of(served.ask("POST", f"{item}/lock", {"owner": "a"}), 404)


def test_a_write_that_waited_while_the_lock_was_taken_is_refused(served, request):
    """Lock, version and write are one transaction: what was looked at before the wait would let it pass."""
    backend = request.node.callspec.params["served"]
    item = served.item()
    id = int(item.rpartition("/")[2])
    answers = []
    writer = threading.Thread(target=lambda: answers.append(served.put(item, '"v1"')))
    engine = locking.engine(served.url)
    try:
        with Session(engine) as session, session.begin():
            locking.locked(session, Item, [id])
            writer.start()
            if backend == "sqlite":
                # Nobody can tell who waits for SQLite's one lock: the server has at least got the request, beside ours.
                wait_for(lambda: served.metrics()[ACTIVE] > 1, "the writer's request")
            else:
                database = request.getfixturevalue(backend)
                wait_for(lambda: waiting(database, backend) > 0, "the writer to wait")
            acquire(session, f"item:{id}", owner="ann", ttl=3600)
    finally:
        writer.join()
        engine.dispose()
    assert problem_of(answers[0], 423)["owner"] == "ann"
    assert served.get(item).json()["version"] == 1


def test_of_many_that_want_it_one_gets_it(served):
    """And whoever writes without it while it is held is refused: the check and the write are one."""
    item = served.item(body="free")
    n = 8
    barrier = threading.Barrier(n, timeout=60)
    statuses: list[int] = []

    def take(who: int) -> None:
        with Client(served.address, patience_s=60) as client:
            barrier.wait()
            answer = asked(client, "POST", f"{item}/lock", {"owner": f"{who}", "ttl": 3600})
            statuses.append(answer.status)
            if answer.status == 201:
                return
            assert answer.value("retry-after")
            # Held by now, and for long.
            problem_of(asked(client, "PUT", item, {"title": "t", "body": f"{who}"}, [("If-Match", "*")]), 423)

    threads = [threading.Thread(target=take, args=(who,)) for who in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [423] * (n - 1)
    assert served.get(item).json()["body"] == "free"


def test_holders_that_come_and_go_never_write_over_each_other(served):
    """Each takes the lock, reads, adds one and writes with its token alone: no version is asked, and none is lost."""
    item = served.item(body="0")
    n, rounds = 4, 5

    def add() -> None:
        with Client(served.address, patience_s=60) as client:
            for _ in range(rounds):
                def taken():
                    return asked(client, "POST", f"{item}/lock", {"owner": "x"})
                token = wait_for(lambda: (answer := taken()).status == 201 and answer.value("lock-token"), "the lock")
                body = int(asked(client, "GET", item).json()["body"]) + 1
                fields = [("If-Match", "*"), ("Lock-Token", token)]
                assert asked(client, "PUT", item, {"title": "t", "body": f"{body}"}, fields).status == 200
                assert asked(client, "DELETE", f"{item}/lock", None, fields).status == 204

    threads = [threading.Thread(target=add) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.get(item).json()["body"] == f"{n * rounds}"


def test_a_lock_of_another_type_of_body(small):
    item = small.item()
    with Client(small.address) as client:
        problem_of(client.ask("POST", f"{item}/lock", [("Content-Type", "text/plain")], b"{}"), 415)
        problem_of(client.ask("POST", f"{item}/lock"), 415)
        problem_of(client.ask("POST", f"{item}/lock", [JSON], b"{"), 400)
