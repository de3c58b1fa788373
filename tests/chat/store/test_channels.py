"""Channels and direct messages: one name each while they live, one dm for each set of members."""
import json

import pytest

from hotpath.chat.store import (
    ChangeChannel,
    CreateChannel,
    DeactivateUser,
    DeleteChannel,
    Join,
    Leave,
    OpenDm,
    Refused,
)


@pytest.fixture
def three(world):
    return [world.user(name) for name in ("root", "ben", "cat")]


def test_a_channel_begins_with_its_members(world, three):
    root, ben, cat = three
    channel = world.do(CreateChannel(ben, "private", "plans", "what next", (cat, ben, cat, root)))
    assert channel == {"id": channel["id"], "kind": "private", "name": "plans", "topic": "what next", "archived": False,
                       "head": 3, "created_at": world.now_ms}
    assert world.reader.members(ben, channel["id"]) == [
        {"user": ben, "role": "owner", "joined_seq": 1}, {"user": cat, "role": "member", "joined_seq": 2},
        {"user": root, "role": "member", "joined_seq": 3}]
    assert [json.loads(event.frame)["data"] for event in world.events] == [
        {"user": ben, "role": "owner"}, {"user": cat, "role": "member"}, {"user": root, "role": "member"}]
    assert [(notice.user, notice.body) for notice in world.notices] == [
        (user, {"joined": {"channel": channel["id"], "seq": seq}}) for seq, user in enumerate((ben, cat, root), 1)]
    assert world.reader.channel(cat, channel["id"]) == {**channel, "member": {
        "role": "member", "last_read": 2, "rev": world.now_ms, "unread": 0, "mentions": 0}}


def test_half_a_channel_is_none(world, three):
    root, ben, _ = three
    assert world.refused(CreateChannel(ben, "public", "plans", "", (root, 999))) == 422
    assert world.all("SELECT COUNT(*) FROM channels") == [(0,)]
    assert world.all("SELECT COUNT(*) FROM memberships") == [(0,)]
    assert world.all("SELECT COUNT(*) FROM events") == [(0,)]
    assert world.published == []
    # Also when others, before and behind it, share its transaction.
    good, bad, again = world.together(CreateChannel(ben, "public", "one", ""),
                                      CreateChannel(ben, "public", "two", "", (root, 999)),
                                      CreateChannel(ben, "public", "two", ""))
    assert (good["name"], bad.status, again["name"]) == ("one", 422, "two")
    assert len(world.events) == 2
    assert world.log(again["id"]) == [(1, "member.joined", ben)]


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\nb", "a\0b"])
def test_a_name_can_be_read(world, three, name):
    assert world.refused(CreateChannel(three[0], "public", name)) == 422


def test_a_name_is_taken_while_its_channel_lives(world, three):
    _, ben, cat = three
    first = world.channel(ben, name="plans")
    assert world.refused(CreateChannel(cat, "private", "plans")) == 409
    other = world.channel(cat, name="Plans")
    assert world.refused(ChangeChannel(cat, other, name="plans")) == 409
    world.do(DeleteChannel(ben, first))
    assert world.do(ChangeChannel(cat, other, name="plans"))["name"] == "plans"
    assert world.do(CreateChannel(cat, "private", "Plans"))["kind"] == "private"


def test_what_a_change_logs(world, three):
    _, ben, cat = three
    channel = world.channel(ben, cat, name="plans")
    changed = world.do(ChangeChannel(ben, channel, name="plan", topic="t"))
    assert (changed["name"], changed["topic"], changed["archived"], changed["head"]) == ("plan", "t", False, 3)
    assert json.loads(world.events[-1].frame)["data"] == changed
    assert world.do(ChangeChannel(ben, channel, name="plan")) == changed
    archived = world.do(ChangeChannel(ben, channel, archived=True))
    assert (archived["archived"], archived["head"]) == (True, 4)
    assert {name: value for name, value in world.reader.channel(cat, channel).items() if name != "member"} == archived
    assert [kind for _, kind, _ in world.log(channel)[2:]] == ["channel.changed"] * 2


def test_who_may_change_and_delete(world, three):
    root, ben, cat = three
    public, private = world.channel(ben, cat), world.channel(ben, cat, kind="private")
    for channel in (public, private):
        assert world.refused(ChangeChannel(cat, channel, topic="x")) == 403
        assert world.refused(DeleteChannel(cat, channel)) == 403
    dan = world.user("dan")
    assert world.refused(ChangeChannel(dan, public, topic="x")) == 403
    assert world.refused(ChangeChannel(dan, private, topic="x")) == 404
    assert world.do(ChangeChannel(root, public, topic="by the admin"))["topic"] == "by the admin"
    assert world.refused(ChangeChannel(root, private, topic="x")) == 404
    assert world.refused(ChangeChannel(ben, 999, topic="x")) == 404
    world.do(DeleteChannel(root, public))


def test_a_deleted_channel_is_hidden_after_everybody_left_it(world, three):
    _, ben, cat = three
    channel = world.channel(ben, cat)
    world.do(DeleteChannel(ben, channel))
    assert [(event.kind, event.subject, event.left) for event in world.events[2:]] == [
        ("member.left", ben, True), ("member.left", cat, True)]
    assert world.reader.channels(ben) == world.reader.channels(ben, "public") == []
    for refused in (DeleteChannel(ben, channel), Join(cat, channel, cat), Leave(cat, channel, cat)):
        assert world.refused(refused) == 404
    with pytest.raises(Refused):
        world.reader.channel(ben, channel)
    assert world.reader.memberships([ben, cat]) == {ben: [], cat: []}
    assert world.reader.heads([channel]) == {channel: 4}


def test_one_dm_for_each_set_of_members(world, three):
    root, ben, cat = three
    dm, created = world.do(OpenDm(ben, (cat,)))
    assert created
    assert (dm["kind"], dm["name"], dm["topic"], dm["head"]) == ("dm", None, "", 2)
    assert world.do(OpenDm(cat, (ben, cat, ben)))[0]["id"] == dm["id"]
    assert not world.do(OpenDm(ben, (cat, ben)))[1]
    group, created = world.do(OpenDm(ben, (cat, root)))
    assert created
    assert group["id"] != dm["id"]
    alone = world.do(OpenDm(ben, ()))[0]
    assert alone["id"] not in (dm["id"], group["id"])
    first, second = world.together(OpenDm(root, (cat,)), OpenDm(cat, (root,)))
    assert (first[1], second[1]) == (True, False)
    assert first[0] == second[0]
    assert world.refused(OpenDm(ben, (999,))) == 422
    assert world.refused(OpenDm(ben, tuple(range(1, 30)))) == 422
    with pytest.raises(Refused) as refused:
        world.reader.channel(root, dm["id"])
    assert refused.value.status == 404


def test_a_dm_stays_as_it_is(world, three):
    root, ben, cat = three
    dm = world.do(OpenDm(ben, (root,)))[0]["id"]
    for operation in (ChangeChannel(ben, dm, name="x"), ChangeChannel(root, dm, archived=True), DeleteChannel(root, dm),
                      Join(ben, dm, cat), Leave(ben, dm, ben), Leave(root, dm, ben), Join(root, dm, ben, "owner")):
        assert world.refused(operation) == 403
    for operation in (Join(cat, dm, cat), Leave(cat, dm, ben), Leave(cat, dm, cat), ChangeChannel(cat, dm, topic="x")):
        assert world.refused(operation) == 404
    world.do(DeactivateUser(root, root))
    assert world.do(OpenDm(ben, (root,)))[0]["id"] == dm


def test_lists_of_channels(world, three):
    _, ben, cat = three
    public, private = world.channel(ben, cat), world.channel(ben, kind="private")
    other = world.channel(cat)
    dm = world.do(OpenDm(ben, (cat,)))[0]["id"]
    ids = lambda *args: [channel["id"] for channel in world.reader.channels(*args)]     # noqa: E731
    assert ids(ben) == [public, private, dm]
    assert ids(cat) == [public, other, dm]
    assert ids(ben, "public") == [public, other]
    assert all("member" in channel for channel in world.reader.channels(ben))
    assert "member" not in world.reader.channels(ben, "public")[0]
    with pytest.raises(Refused) as refused:
        world.reader.channels(ben, "all")
    assert refused.value.status == 422
    assert "member" not in world.reader.channel(ben, other)


@pytest.mark.parametrize("topic", ["x" * 1001, "a\0b", "half \ud800"])
def test_a_topic_can_be_kept(world, three, topic):
    assert world.refused(CreateChannel(three[0], "public", "plans", topic)) == 422
    channel = world.channel(three[0])
    assert world.refused(ChangeChannel(three[0], channel, topic=topic)) == 422
