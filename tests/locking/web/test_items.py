"""Items are written by whoever knows their version, and by nobody else."""
from __future__ import annotations

import threading

import pytest

from tests.clients import Client
from tests.locking.web.servers import CONTENT, asked, conditions, problem_of


def test_an_item_is_made_and_read(served):
    answer = served.ask("POST", "/items", {"title": "a", "body": "b"})
    id = answer.json()["id"]
    assert (answer.status, answer.value("location"), answer.value("etag")) == (201, f"/items/{id}", '"v1"')
    told = {"id": id, "title": "a", "body": "b", "version": 1, "lock": None}
    assert answer.json() == told
    again = served.get(f"/items/{id}")
    assert (again.status, again.value("etag"), again.json()) == (200, '"v1"', told)
    assert told in served.get("/items").json()["items"]


def test_an_item_need_not_have_a_body(served):
    assert served.ask("POST", "/items", {"title": "a"}).json()["body"] == ""


@pytest.mark.parametrize("text", [
    "\U0001f512 naïve \u202e", "a\n\tb \x01\x1f\x7f", "'; DROP TABLE hotpath_items --", "\\%_"])
def test_any_text_comes_back_as_it_was(served, text):
    item = served.item(text, text * 100)
    told = served.get(item).json()
    assert (told["title"], told["body"]) == (text, text * 100)


def test_the_longest_item_is_one(served):
    title, body = "\U0001f512" * 200, "\U0001f512" * 65536
    item = served.item(title, body)
    assert served.get(item).json()["body"] == body
    problem_of(served.ask("POST", "/items", {"title": title + "a"}), 422)
    problem_of(served.put(item, content={"title": "t", "body": body + "a"}), 422)


def test_what_the_client_has_is_not_sent_again(served):
    item = served.item()
    for condition in ('"v1"', 'W/"v1"', '"x", "v1"', "*"):
        answer = served.get(item, ("If-None-Match", condition))
        assert (answer.status, answer.value("etag"), answer.body) == (304, '"v1"', b"")
    assert served.get(item, ("If-None-Match", '"v2", "w"')).status == 200
    problem_of(served.get(item, ("If-None-Match", "v1")), 400)


def test_a_write_says_what_it_replaces(served):
    item = served.item()
    answer = served.put(item, '"v1"')
    assert (answer.status, answer.value("etag")) == (200, '"v2"')
    assert answer.json() == {"id": int(item.rpartition("/")[2]), **CONTENT, "version": 2, "lock": None}
    assert served.get(item).json() == answer.json()


def test_the_same_content_is_a_change_too(served):
    item = served.item()
    tags = [served.put(item, f'"v{n}"').value("etag") for n in (1, 2, 3)]
    assert tags == ['"v2"', '"v3"', '"v4"']
    problem_of(served.put(item, '"v1"'), 412)


@pytest.mark.parametrize("condition", ['"v1"', '"v0", "v1"', '"x",, "v1" ,"y"', "*", ' "v1" '])
def test_a_condition_that_holds(served, condition):
    item = served.item()
    assert served.put(item, condition).status == 200
    assert served.get(item).value("etag") == '"v2"'


@pytest.mark.parametrize("condition", ['"v2"', 'W/"v1"', '"v2", W/"v1"', '"V1"', '"v01"', '"*"', '""', ","])
def test_a_condition_that_does_not(served, condition):
    item = served.item()
    for answer in (served.put(item, condition), served.delete(item, condition)):
        assert problem_of(answer, 412)["version"] == 1
        assert answer.value("etag") == '"v1"'
    assert served.get(item).value("etag") == '"v1"'


@pytest.mark.parametrize("condition", ["v1", '"v1', "1", '"v1" "v2"', "*, \"v1\"", 'w/"v1"'])
def test_a_condition_that_is_none(served, condition):
    item = served.item()
    problem_of(served.put(item, condition), 400)
    problem_of(served.delete(item, condition), 400)


def test_a_write_that_says_nothing_is_told_the_version(served):
    item = served.item()
    for answer in (served.put(item, None), served.delete(item, None)):
        problem_of(answer, 428)
        assert answer.value("etag") == '"v1"'
    assert served.get(item).json()["version"] == 1


def test_if_none_match_is_a_condition_too(served):
    item = served.item()
    fields = conditions('"v1"', None)
    problem_of(served.ask("PUT", item, CONTENT, [*fields, ("If-None-Match", "*")]), 412)
    problem_of(served.ask("PUT", item, CONTENT, [*fields, ("If-None-Match", 'W/"v1"')]), 412)
    assert served.ask("PUT", item, CONTENT, [*fields, ("If-None-Match", '"v2"')]).status == 200


def test_an_item_that_was_deleted_is_gone_and_its_id_with_it(served):
    item = served.item()
    problem_of(served.delete(item, '"v2"'), 412)
    answer = served.delete(item, '"v1"')
    assert (answer.status, answer.body) == (204, b"")
    problem_of(served.get(item), 404)
    problem_of(served.delete(item), 404)
    problem_of(served.put(item, None), 404)
    problem_of(served.ask("POST", f"{item}/lock", {"owner": "ann"}), 404)
    next_ = served.item()
    assert int(next_.rpartition("/")[2]) > int(item.rpartition("/")[2])


@pytest.mark.parametrize("path", [
    "/items/0", "/items/999999999", "/items/999999999999999999", "/items/99999999999999999999", "/items/-1", "/items/x",
    "/items/1.0", "/items/1/x"])
def test_what_is_not_there(served, path):
    problem_of(served.get(path), 404)


def test_all_items_are_listed_in_order_however_many(served):
    before = len(served.get("/items").json()["items"])
    with Client(served.address) as client:
        for n in range(230 - before % 100):
            assert asked(client, "POST", "/items", {"title": f"{n}"}).status == 201
        told = asked(client, "GET", "/items").json()["items"]
        assert len(told) == before + 230 - before % 100
        assert [item["id"] for item in told] == sorted(item["id"] for item in told)
        # Exactly some full pages.
        for _ in range(-len(told) % 100):
            asked(client, "POST", "/items", {"title": "t"})
        assert len(asked(client, "GET", "/items").json()["items"]) % 100 == 0


def test_of_many_writers_of_one_version_one_wins(served):
    """Each thread writes what it read; whoever comes later is told, and nothing is lost."""
    item = served.item(body="0")
    n, rounds = 8, 10
    barrier = threading.Barrier(n, timeout=60)
    won: list[list[int]] = [[] for _ in range(rounds)]
    strange = []

    def write(who: int) -> None:
        with Client(served.address, patience_s=60) as client:
            for turn in range(rounds):
                barrier.wait()
                tag = f'"v{turn + 1}"'
                answer = asked(client, "PUT", item, {"title": "t", "body": f"{turn} {who}"}, conditions(tag, None))
                if answer.status == 200:
                    won[turn].append(who)
                elif answer.status != 412:
                    strange.append(answer)
                barrier.wait()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert strange == []
    assert [len(winners) for winners in won] == [1] * rounds
    told = served.get(item).json()
    assert (told["version"], told["body"]) == (rounds + 1, f"{rounds - 1} {won[-1][0]}")


def test_without_a_condition_that_names_a_version_all_of_them_win(served):
    """The control of the test above: `*` asks for no version, and all but one are lost."""
    item = served.item()
    statuses = [served.put(item, "*", content={"title": "t", "body": f"{n}"}).status for n in range(8)]
    assert statuses == [200] * 8
    assert served.get(item).json()["version"] == 9
