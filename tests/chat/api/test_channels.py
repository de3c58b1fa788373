"""Channels, memberships, read markers."""
import pytest

from tests.chat.api.serving import new_name, one_engine

MISSING = 999_999


def shape(channel):
    return {name: channel[name] for name in ("kind", "name", "topic", "archived")}


def test_a_channel_is_made_with_its_members(ann, bob, cy):
    name = new_name()
    answer = ann.post("/api/channels", {"name": name, "kind": "private", "topic": "ß 😀", "members": [bob.id]})
    assert answer.status == 201
    channel = answer.json()
    assert set(channel) - {"member"} == {"id", "kind", "name", "topic", "archived", "head", "created_at"}
    assert shape(channel) == {"kind": "private", "name": name, "topic": "ß 😀", "archived": False}
    members = ann.get(f"/api/channels/{channel['id']}/members").json()["members"]
    assert [(member["user"], member["role"]) for member in members] == [(ann.id, "owner"), (bob.id, "member")]
    assert all(set(member) == {"user", "role", "joined_seq"} for member in members)
    assert bob.get(f"/api/channels/{channel['id']}").status == 200
    assert cy.get(f"/api/channels/{channel['id']}").status == 404


@pytest.mark.parametrize(("body", "blamed"), [
    ({}, ["name", "kind"]),
    ({"kind": "public"}, ["name"]),
    ({"name": "x"}, ["kind"]),
    ({"name": "x", "kind": "secret"}, ["kind"]),
    ({"name": "x", "kind": 3}, ["kind"]),
    ({"name": "", "kind": "public"}, ["name"]),
    ({"name": " x", "kind": "public"}, ["name"]),
    ({"name": "x ", "kind": "public"}, ["name"]),
    ({"name": "a\nb", "kind": "public"}, ["name"]),
    ({"name": "a\0b", "kind": "public"}, ["name"]),
    ({"name": "\udc00", "kind": "public"}, ["name"]),
    ({"name": "x" * 81, "kind": "public"}, ["name"]),
    ({"name": "x", "kind": "public", "topic": "x" * 251}, ["topic"]),
    ({"name": "x", "kind": "public", "topic": "\0"}, ["topic"]),
    ({"name": "x", "kind": "public", "topic": None}, ["topic"]),
    ({"name": "x", "kind": "public", "members": [0]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [-1]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [2**63]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [10**400]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [1.5]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [True]}, ["members"]),
    ({"name": "x", "kind": "public", "members": ["1"]}, ["members"]),
    ({"name": "x", "kind": "public", "members": {}}, ["members"]),
    ({"name": "x", "kind": "public", "members": [MISSING]}, ["members"]),
    ({"name": "x", "kind": "public", "members": [1] * 1001}, ["members"]),
    ({"name": "x", "kind": "public", "owner": 1}, ["owner"]),
    ({"kind": "dm"}, ["members"]),
    ({"kind": "dm", "members": []}, ["members"]),
    ({"kind": "dm", "members": [MISSING]}, ["members"]),
    ({"kind": "dm", "members": list(range(1, 20))}, ["members"]),
    ({"kind": "dm", "members": [1], "name": "x", "topic": ""}, ["name", "topic"]),
])
def test_a_channel_that_cannot_be_is_blamed_field_by_field(bob, body, blamed):
    assert bob.post("/api/channels", body).blamed() == blamed


def test_a_name_is_taken_by_a_living_channel(ann, bob):
    body = {"name": new_name(), "kind": "public"}
    channel = ann.post("/api/channels", body).json()["id"]
    assert bob.post("/api/channels", body).status == 409
    assert bob.post("/api/channels", {**body, "kind": "private"}).status == 409
    assert ann.delete(f"/api/channels/{channel}").status == 204
    assert bob.post("/api/channels", body).status == 201


def test_a_dm_is_one_for_each_set_of_people(ann, bob, cy):
    first = ann.post("/api/channels", {"kind": "dm", "members": [bob.id, cy.id]})
    again = cy.post("/api/channels", {"kind": "dm", "members": [ann.id, cy.id, bob.id, ann.id]})
    assert (first.status, again.status) in ((201, 200), (200, 200))
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["kind"] == "dm"
    assert ann.post("/api/channels", {"kind": "dm", "members": [bob.id]}).json()["id"] != first.json()["id"]


def test_a_dm_keeps_its_name_and_its_members(api, ann, bob):
    someone = api.person()
    dm = someone.post("/api/channels", {"kind": "dm", "members": [bob.id]})
    assert dm.status == 201
    path = f"/api/channels/{dm.json()['id']}"
    assert bob.patch(path, {"name": new_name()}).status == 403
    assert bob.patch(path, {"archived": True}).status == 403
    assert bob.put(f"{path}/members/{ann.id}").status == 403
    assert ann.get(path).status == 404


def test_my_channels_say_who_i_am_there_and_public_ones_are_listed(api, ann):
    bob = api.person()
    public, private = ann.channel(), ann.channel("private", members=[bob.id])
    mine = {channel["id"]: channel for channel in bob.get("/api/channels").json()["channels"]}
    assert set(mine) == {private}
    assert set(mine[private]["member"]) == {"role", "last_read", "rev", "unread", "mentions"}
    assert mine[private]["member"]["role"] == "member"
    assert bob.get("/api/channels?scope=mine").json() == bob.get("/api/channels").json()
    listed = {channel["id"] for channel in bob.get("/api/channels?scope=public").json()["channels"]}
    assert public in listed
    assert private not in listed
    assert bob.get("/api/channels?scope=all").blamed() == ["scope"]


def test_what_one_is_not_in(ann, bob):
    public, private = ann.channel(), ann.channel("private")
    for path, method in (("messages", "get"), ("events", "get"), ("members", "get")):
        assert getattr(bob, method)(f"/api/channels/{public}/{path}").status == 403
        assert getattr(bob, method)(f"/api/channels/{private}/{path}").status == 404
        assert getattr(bob, method)(f"/api/channels/{MISSING}/{path}").status == 404
    for channel, status in ((public, 403), (private, 404), (MISSING, 404)):
        body = {"client_msg_id": new_name(), "text": "x"}
        assert bob.post(f"/api/channels/{channel}/messages", body).status == status
        assert bob.put(f"/api/channels/{channel}/read", {"seq": 1}).status == status
        assert bob.patch(f"/api/channels/{channel}", {"topic": "x"}).status == status
        assert bob.delete(f"/api/channels/{channel}").status == status


def test_an_owner_or_an_admin_changes_a_channel(ann, bob, cy):
    channel = bob.channel(members=[cy.id])
    path = f"/api/channels/{channel}"
    name = new_name()
    changed = bob.patch(path, {"name": name, "topic": "now this"})
    assert changed.status == 200
    assert shape(changed.json()) == {"kind": "public", "name": name, "topic": "now this", "archived": False}
    assert cy.patch(path, {"topic": "x"}).status == 403
    assert ann.patch(path, {"topic": "by an admin"}).json()["topic"] == "by an admin"
    other = new_name()
    bob.post("/api/channels", {"name": other, "kind": "public"})
    assert bob.patch(path, {"name": other}).status == 409
    assert bob.patch(path, {"name": None, "topic": 3, "archived": "yes", "x": 1}).blamed() == [
        "name", "topic", "archived", "x"]


def test_an_archived_channel_is_read_and_not_written(bob):
    channel = bob.channel()
    bob.send(channel)
    assert bob.patch(f"/api/channels/{channel}", {"archived": True}).json()["archived"] is True
    body = {"client_msg_id": new_name(), "text": "x"}
    assert bob.post(f"/api/channels/{channel}/messages", body).status == 409
    assert len(bob.get(f"/api/channels/{channel}/messages").json()["messages"]) == 1
    assert bob.patch(f"/api/channels/{channel}", {"archived": False}).status == 200
    assert bob.post(f"/api/channels/{channel}/messages", body).status == 201


def test_a_deleted_channel_is_no_more(bob, cy):
    channel = bob.channel(members=[cy.id])
    assert cy.delete(f"/api/channels/{channel}").status == 403
    assert bob.delete(f"/api/channels/{channel}").status == 204
    for caller in (bob, cy):
        assert caller.get(f"/api/channels/{channel}").status == 404
        assert caller.get(f"/api/channels/{channel}/messages").status == 404


def test_one_joins_a_public_channel_by_oneself(bob, cy):
    channel = bob.channel()
    path = f"/api/channels/{channel}/members/{cy.id}"
    joined = cy.put(path)
    assert joined.status == 201
    assert joined.json() == {"user": cy.id, "role": "member", "joined_seq": 2}
    again = cy.put(path, {})
    assert (again.status, again.json()) == (200, joined.json())


def test_into_a_private_one_members_invite(ann, bob, cy):
    channel = bob.channel("private")
    assert cy.put(f"/api/channels/{channel}/members/{cy.id}").status == 404
    assert bob.put(f"/api/channels/{channel}/members/{cy.id}", {"role": "owner"}).json()["role"] == "owner"
    assert cy.get(f"/api/channels/{channel}").status == 200
    assert cy.put(f"/api/channels/{channel}/members/{MISSING}").status == 404


@one_engine
@pytest.mark.parametrize("body", [{"role": "king"}, {"role": None}, {"role": 1}])
def test_a_role_is_one_of_two(bob, cy, body):
    assert bob.put(f"/api/channels/{bob.channel()}/members/{cy.id}", body).blamed() == ["role"]


def test_who_leaves_is_out_and_an_owner_removes_others(bob, cy):
    channel = bob.channel("private", members=[cy.id])
    assert cy.delete(f"/api/channels/{channel}/members/{bob.id}").status == 403
    assert bob.delete(f"/api/channels/{channel}/members/{cy.id}").status == 204
    assert cy.get(f"/api/channels/{channel}").status == 404
    assert bob.delete(f"/api/channels/{channel}/members/{cy.id}").status == 404
    bob.put(f"/api/channels/{channel}/members/{cy.id}")
    assert cy.delete(f"/api/channels/{channel}/members/{cy.id}").status == 204


def test_a_read_marker_only_grows_unless_it_is_told_to(bob, cy):
    channel = bob.channel(members=[cy.id])
    seqs = [bob.send(channel)["seq"] for _ in range(3)]
    path = f"/api/channels/{channel}/read"
    assert cy.get(f"/api/channels/{channel}").json()["member"]["unread"] == 3
    read = cy.put(path, {"seq": seqs[1]}).json()
    assert set(read) == {"last_read", "rev", "unread", "mentions"}
    assert (read["last_read"], read["unread"]) == (seqs[1], 1)
    assert cy.put(path, {"seq": seqs[0]}).json() == read
    back = cy.put(path, {"seq": seqs[0], "back": True}).json()
    assert (back["last_read"], back["unread"]) == (seqs[0], 2)
    assert back["rev"] > read["rev"]
    assert cy.put(path, {"seq": 2**62}).json()["last_read"] == seqs[2]


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({}, ["seq"]), ({"seq": -1}, ["seq"]), ({"seq": 2**63}, ["seq"]), ({"seq": 1.0}, ["seq"]), ({"seq": "1"}, ["seq"]),
    ({"seq": 1, "back": 1}, ["back"]), ({"seq": 1, "rev": 1}, ["rev"]), ({"seq": None}, ["seq"]),
])
def test_a_marker_that_cannot_be_is_blamed(bob, body, blamed):
    assert bob.put(f"/api/channels/{bob.channel()}/read", body).blamed() == blamed


@one_engine
@pytest.mark.parametrize("id", ["0", "-1", "01", "1.0", "x", "9223372036854775808", "99999999999999999999999", "%31%00",
                                "٣"])
def test_what_no_id_can_be_leads_nowhere(bob, id):
    from urllib.parse import quote
    answer = bob.get(f"/api/channels/{quote(id, safe='%')}")
    assert answer.status == 404
    answer.problem()


def test_the_largest_id_there_can_be_is_merely_unknown(bob):
    for path in ("channels", "users"):
        assert bob.get(f"/api/{path}/{2**63 - 1}").status == 404
