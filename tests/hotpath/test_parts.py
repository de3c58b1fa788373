"""Each system does its work behind the door, comes back from any kill, and has its data after a restart."""
import json
import os
import signal
from contextlib import suppress

import pytest

from tests.chat.client import PASSWORD
from tests.chat.someone import knock
from tests.clients import CutShort
from tests.ide.paths import public_folder
from tests.waiting import is_alive, wait_for

from .houses import JSON, UP_WITHIN_S, house_up, shell

# Whole houses, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)
PARTS = ("proxy", "chat", "ide", "crdt-a", "crdt-b", "crdt-c", "shard", "locking")


@pytest.fixture(scope="module")
def house():
    with public_folder() as folder, house_up(folder) as house:
        yield house


# ---- what each does through the door

def chat(house, ann, ben, channel, text):
    """Ann says it, Ben hears it through his gateway."""
    tab = ben.tab()
    try:
        tab.start()
        assert ann.post(channel, text, text).status == 201
        while tab.until("event")["data"].get("text") != text:
            pass
    finally:
        tab.close()


def room(ann, ben):
    answer = ann.ask("POST", "/api/channels", {"name": f"c{ann.id}", "kind": "public", "members": [ben.id]})
    assert answer.status == 201, answer
    return answer.json["id"]


def test_what_one_says_in_the_chat_another_hears_over_a_websocket(house):
    ann, ben = house.someone(), house.someone()
    chat(house, ann, ben, room(ann, ben), "through-the-door")


def test_both_gateways_of_the_chat_are_reached_through_the_door(house):
    ann = house.someone()
    for gateway, other in (("g1", "g2"), ("g2", "g1")):
        place = ann.ask("POST", "/api/connect", {"exclude": [other]}).json
        assert place["url"] == f"ws://{house.address}/chat/gateways/{gateway}/ws"
        target = f"/chat/gateways/{gateway}/ws?ticket={place['ticket']}"
        assert knock(house.address, target, ("Origin", "http://elsewhere.example")) == 403
        assert knock(house.address, target, ("Origin", house.url)) == 101


def test_a_terminal_of_the_ide_echoes_over_a_websocket(house):
    project = house.ide.create("behind the door")
    screen = shell(house.ide, project)
    screen.type(b"echo answer-$((6 * 7))\n")
    screen.until(b"answer-42")
    screen.close()


def test_the_ide_asks_for_its_token_and_for_an_origin_of_the_door(house):
    ide = house.ide
    path = "/api/projects"
    assert ide.raw("GET", path).status == 401
    assert ide.raw("GET", path, [*ide.bearer, ("Origin", house.url)]).status == 200
    assert ide.raw("GET", path, [*ide.bearer, ("Origin", "http://elsewhere.example")]).status == 403
    assert ide.upgrade(f"{path}/x/events", [("Origin", "http://elsewhere.example"), *ide.bearer]) == 403


def test_what_one_replica_is_told_the_others_know(house):
    assert house.ask("PUT", "/crdt/kv/tea?upsert=true", "green").status in (200, 201, 204)
    for replica in ("", "b/", "c/"):
        wait_for(lambda at=replica: house.ask("GET", f"/crdt/{at}kv/tea").status == 200, f"tea at {replica or 'a'}")
        assert house.got(f"/crdt/{replica}kv/tea") == "green"


def test_a_row_of_the_shards_is_read_again(house):
    made = house.ask("POST", "/shard/v1/tables/posts", {"author": "ann", "title": "first"})
    assert made.status == 201, made
    id = made.json()["id"]
    assert house.got(f"/shard/v1/tables/posts/{id}")["title"] == "first"


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "/shard/v1/tables/posts", {"author": "ann", "title": "followed"}),
    ("PUT", "/crdt/kv/followed?upsert=true", 1),
    ("PUT", "/crdt/b/kv/followed-b?upsert=true", 1),
    ("POST", "/locking/items", {"title": "followed", "body": ""}),
], ids=["shard", "crdt", "replica-b", "locking"])
def test_what_was_made_is_found_where_the_answer_says(house, method, path, body):
    made = house.ask(method, path, body)
    assert made.status == 201, made
    where = made.value("location")
    assert where.startswith(path.partition("?")[0]), where
    assert house.ask("GET", where).status == 200


def test_an_item_changes_only_for_whoever_has_seen_it(house):
    made = house.ask("POST", "/locking/items", {"title": "a", "body": ""})
    path = f"/locking/items/{made.json()['id']}"
    seen = [("If-Match", house.ask("GET", path).value("etag"))]
    assert house.ask("PUT", path, {"title": "b", "body": ""}, seen).status == 200
    assert house.ask("PUT", path, {"title": "c", "body": ""}, seen).status == 412


def test_a_page_of_another_origin_changes_nothing(house):
    foreign = [("Origin", "http://elsewhere.example")]
    assert house.ask("POST", "/locking/items", {"title": "x", "body": ""}, foreign).status == 403
    assert house.ask("POST", "/shard/v1/tables/posts", {"author": "x", "title": "x"}, foreign).status == 403
    ours = [("Origin", house.url)]
    assert house.ask("POST", "/locking/items", {"title": "x", "body": ""}, ours).status == 201
    assert house.ask("POST", "/shard/v1/tables/posts", {"author": "x", "title": "x"}, ours).status == 201


def test_cookies_have_names_and_paths_of_their_own(house):
    ann = house.someone()
    login = ann.ask("POST", "/api/login", {"name": ann.name, "password": PASSWORD})
    signed = house.ide.raw("POST", "/api/session", JSON, json.dumps({"token": house.ide.token}).encode())
    cookies = [login.headers["set-cookie"], signed.value("set-cookie")]
    assert [cookie.partition("=")[0] for cookie in cookies] == ["hp_session", "hotpath_ide"]
    assert ["; Path=/chat;" in cookies[0], "; Path=/ide;" in cookies[1]] == [True, True], cookies
    assert all("HttpOnly" in cookie and "SameSite" in cookie for cookie in cookies)


# ---- and after

@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_comes_back_and_the_door_answers(house, name):
    part = name.partition("-")[0]
    before = house.part(part)["restarts"]
    house.kill(name)
    wait_for(lambda: house.part(part)["restarts"] > before and house.part(part)["well"], f"{name} to be well",
             UP_WITHIN_S)
    path = {"proxy": "/", "crdt-b": "/crdt/b/", "crdt-c": "/crdt/c/"}.get(name, f"/{part}/")
    assert house.ask("GET", path).status == 200
    assert house.process.popen.poll() is None


def test_whoever_asks_a_part_that_is_started_again_waits_and_is_answered(house):
    house.kill("locking")
    # Its socket is ours: nobody is refused. (/healthz of a worker that outlives its master says that it is draining.)
    assert house.ask("GET", "/locking/").status == 200


def test_a_killed_worker_of_the_proxy_is_replaced_and_nobody_is_refused(house):
    master = wait_for(lambda: house.pid_of("proxy"), "the proxy")
    workers = [pid for pid, line in house.processes().items() if "hotpath.proxy" in line and pid != master]
    assert len(workers) >= 2
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not is_alive(pid), "its end")
        with suppress(CutShort):        # it may have had the connection
            house.ask("GET", "/locking/")
        assert house.ask("GET", "/locking/").status == 200
    assert house.pid_of("proxy") == master


def test_the_proxy_takes_its_configuration_anew_and_nobody_is_refused(house):
    os.kill(wait_for(lambda: house.pid_of("proxy"), "the proxy"), signal.SIGHUP)
    for _ in range(20):
        assert house.ask("GET", "/locking/").status == 200


def test_data_survive_a_restart(tmp_path):
    with public_folder() as folder:
        with house_up(folder) as house:
            ann, ben = house.someone("ann"), house.someone("ben")
            channel = room(ann, ben)
            assert ann.post(channel, "remember-me", "1").status == 201
            project = house.ide.create("kept")
            assert house.ide.put(project["id"], "note.txt", b"kept").status in (200, 201, 204)
            assert house.ask("PUT", "/crdt/b/kv/tea?upsert=true", "green").status in (200, 201, 204)
            row = house.ask("POST", "/shard/v1/tables/posts", {"author": "ann", "title": "kept"}).json()
            item = house.ask("POST", "/locking/items", {"title": "kept", "body": ""}).json()
            house.stop()
        with house_up(folder) as house:
            messages = house.someone("ann").ask("GET", f"/api/channels/{channel}/messages").json["messages"]
            assert [each["text"] for each in messages] == ["remember-me"]
            assert house.ide.ask("GET", f"/api/projects/{project['id']}/file?path=note.txt").body == b"kept"
            assert house.got("/crdt/b/kv/tea") == "green"
            assert house.got(f"/shard/v1/tables/posts/{row['id']}")["title"] == "kept"
            assert house.got(f"/locking/items/{item['id']}")["title"] == "kept"
