"""Members come, lose their disk, stay away, are forgotten; what the others know stays true, and nothing comes back."""
import json
import shutil

import pytest

from tests.crdt.linkproxy import State
from tests.crdt.trio import JSON, NAMES, NoAnswer, Server, Trio, path_of
from tests.waiting import wait_for

COLLECTING = {"gc": {"after": "300ms", "interval": "100ms"}}


def put(server, key, value):
    reply = server.ask("PUT", path_of(key, "?upsert=true"), json.dumps(value).encode(), content_type=JSON)
    assert reply.status in (200, 201), reply
    return reply.fields["lww-stamp"]


def put_in_the_end(server, key, value):
    """A server whose clock is ahead of the others' refuses writes until they caught up."""
    def accepted():
        reply = server.ask("PUT", path_of(key, "?upsert=true"), json.dumps(value).encode(), content_type=JSON)
        assert reply.status in (200, 201, 503), reply
        return reply.fields.get("lww-stamp")

    return wait_for(accepted, f"{server.name} to take a write", within_s=40)


def remove(server, key):
    assert server.ask("DELETE", path_of(key)).status == 204


def value(server, key):
    reply = server.ask("GET", path_of(key))
    return reply.json() if reply.status == 200 else None


def tombstones(servers):
    return sum(server.summary()["tombstones"] for server in servers)


def members_at(server):
    return {one["name"]: one["state"] for one in server.ask("GET", "/members").json()["members"]}


def isolate(trio, name, state=State.CUT):
    for other in NAMES:
        if other != name:
            trio.partition(name, other, state, state)


def test_a_member_that_lost_its_disk_copies_before_it_serves(tmp_path):
    with Trio(tmp_path) as trio:
        a, b, c = trio.servers.values()
        for number in range(50):
            put(trio.servers[NAMES[number % 3]], b"k%d" % number, number)
        remove(b, b"k7")
        trio.agree()
        a.kill()
        shutil.rmtree(a.folder / "data")
        # Silent, and waited for: of two tries that fail it would conclude that nobody is there, and serve.
        isolate(trio, "a", State.MUTE)
        a.settings["sync"] = {"interval": "100ms", "timeout": "60s"}
        a.start()
        # Nobody can be copied from: it neither says that it is well nor lets anybody write what it could forget.
        assert a.ask("GET", "/healthz").status == 503
        assert a.ask("PUT", path_of(b"new", "?upsert=true"), b"1", content_type=JSON).status == 503
        put(b, b"k0", "while it was away")
        trio.heal()
        assert value(a, b"k1") == 1
        assert value(a, b"k7") is None
        trio.agree()
        assert [value(server, b"k0") for server in (a, b, c)] == ["while it was away"] * 3
        trio.agree()


def test_a_member_that_is_away_holds_removals_back_until_it_is_forgotten(tmp_path):
    with Trio(tmp_path, **COLLECTING) as trio:
        a, b, c = trio.servers.values()
        put(c, b"k", "old")
        trio.agree()
        c.kill()
        remove(a, b"k")
        put(b, b"l", 1)
        remove(b, b"l")
        wait_for(lambda: tombstones([a]) == tombstones([b]) == 2, "both removals at both")
        wait_for(lambda: a.ask("GET", "/stats").json()["gc"]["held_by"] == "c", "a to say who holds it back")
        floor = a.summary()["collected"]
        assert a.ask("DELETE", "/members/c").status == 204
        wait_for(lambda: tombstones([a, b]) == 0, "the removals to go")
        assert a.summary()["collected"] > floor
        # It comes back with its old disk, and is told that it is no member; its value has nowhere to go.
        c.start()
        wait_for(lambda: "c" not in members_at(b), "b to know")
        put(a, b"m", 1)
        wait_for(lambda: value(b, b"m") == 1, "a and b to go on")
        wait_for(lambda: b.summary()["root"] == a.summary()["root"], "a and b to agree")
        assert [value(server, b"k") for server in (a, b)] == [None, None]


def test_a_new_member_copies_first_and_then_holds_removals_back_as_all_do(tmp_path):
    with Trio(tmp_path, **COLLECTING) as trio:
        a, b, c = trio.servers.values()
        for number in range(20):
            put(a, b"k%d" % number, number)
        remove(b, b"k3")
        d = Server("d", tmp_path / "d", {"sync": {"interval": "100ms", "timeout": "60s"}, **COLLECTING,
                                         "peers": [{"name": "a", "url": f"http://127.0.0.1:{a.port}"}]})
        try:
            body = json.dumps({"name": "d", "url": f"http://127.0.0.1:{d.port}"}).encode()
            assert a.ask("POST", "/members", body, content_type=JSON).status == 201
            d.start()
            wait_for(d.is_able, "d to serve")
            assert value(d, b"k4") == 4
            assert value(d, b"k3") is None
            four = [a, b, c, d]
            wait_for(lambda: all(set(members_at(server)) | {server.name} == set("abcd") for server in four),
                     "everybody to know everybody")
            put(d, b"k4", "by d")
            wait_for(lambda: all(value(server, b"k4") == "by d" for server in four), "all to have what d wrote")
            remove(c, b"k5")
            wait_for(lambda: tombstones(four) == 0, "all removals to go everywhere", within_s=40)
            assert {server.summary()["root"] for server in four} == {a.summary()["root"]}
        finally:
            if d.process is not None:
                d.kill()


@pytest.mark.parametrize("away", [State.CUT, State.MUTE])
def test_three_that_were_cut_apart_and_edited_agree_after_healing(tmp_path, away):
    with Trio(tmp_path) as trio:
        for one in NAMES:
            isolate(trio, one, away)
        stamps = {name: put(server, b"k", name) for name, server in trio.servers.items()}
        for name, server in trio.servers.items():
            # What is pushed to the deaf arrives: a later write of another may be here already.
            assert away is State.DEAF or value(server, b"k") == name
            put(server, name.encode(), name)
        trio.heal()
        trio.agree()
        # Which of three writes at once is the greatest is up to their clocks; that it is one of them everywhere is not.
        last = max(stamps, key=lambda name: stamps[name])
        for server in trio.servers.values():
            assert [value(server, key) for key in (b"k", b"a", b"b", b"c")] == [last, "a", "b", "c"]


def test_a_relay_joins_two_that_never_hear_each_other(tmp_path):
    with Trio(tmp_path, **COLLECTING) as trio:
        a, b, c = trio.servers.values()
        trio.partition("a", "c", State.CUT, State.CUT)
        put(a, b"k", 1)
        wait_for(lambda: value(c, b"k") == 1, "a's write to reach c through b")
        remove(c, b"k")
        wait_for(lambda: value(a, b"k") is None, "c's removal to reach a through b")
        wait_for(lambda: tombstones([a, b, c]) == 0, "the removal to go, though a and c never speak", within_s=40)
        trio.agree()


def test_a_server_that_is_told_to_stop_keeps_everything(tmp_path):
    with Trio(tmp_path) as trio:
        a = trio.servers["a"]
        put(a, b"k", 1)
        assert a.stop() == 0
        with pytest.raises(NoAnswer):
            a.ask("GET", "/healthz")
        a.start()
        assert value(a, b"k") == 1


def test_a_server_that_dies_again_and_again_is_heard_again(tmp_path):
    """Each start leaves out up to two seconds of stamps, so this clock runs ahead of the others for a while."""
    with Trio(tmp_path) as trio:
        a = trio.servers["a"]
        stamps = []
        for number in range(6):
            stamps.append(put_in_the_end(a, b"k%d" % number, number))
            a.kill()
            a.start()
        stamps.append(put_in_the_end(a, b"k", "last"))
        assert stamps == sorted(set(stamps))
        wait_for(lambda: all(value(server, b"k") == "last" for server in trio.servers.values()), "all to have it",
                 within_s=40)
        trio.agree()
        assert [value(trio.servers["c"], b"k%d" % number) for number in range(6)] == list(range(6))
