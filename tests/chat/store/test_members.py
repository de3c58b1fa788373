"""Coming, going, reading: each at an exact seq of the channel's log; counts come from rows."""
import json

import pytest

from hotpath.chat.store import (
    ChangeChannel,
    DeactivateUser,
    DeleteMessage,
    EditMessage,
    Join,
    Leave,
    MarkRead,
    Notice,
    PostMessage,
    Refused,
)


@pytest.fixture
def four(world):
    return [world.user(name) for name in ("root", "ben", "cat", "dan")]


def marks(world, user, channel):
    member = world.reader.channel(user, channel)["member"]
    return member["unread"], member["mentions"]


def roles(world, user, channel):
    return {member["user"]: member["role"] for member in world.reader.members(user, channel)}


def test_oneself_into_a_public_channel_and_members_invite(world, four):
    root, ben, cat, dan = four
    public, private = world.channel(ben), world.channel(ben, kind="private")
    world.post(ben, public, "before")
    member, created = world.do(Join(cat, public, cat))
    assert (member, created) == ({"user": cat, "role": "member", "joined_seq": 3}, True)
    assert world.do(Join(cat, public, cat)) == (member, False)
    assert world.notices[-1] == Notice(cat, {"joined": {"channel": public, "seq": 3}})
    assert world.do(Join(cat, public, dan))[0]["joined_seq"] == 4
    assert world.refused(Join(cat, private, cat)) == 404
    assert world.refused(Join(root, public, dan)) == 403
    assert world.refused(Join(root, private, root)) == 404
    assert world.do(Join(ben, private, cat))[1]
    assert world.refused(Join(ben, public, 999)) == 404
    assert marks(world, cat, public) == (0, 0)


def test_only_owners_and_admins_make_owners(world, four):
    root, ben, cat, dan = four
    channel = world.channel(ben, cat)
    assert world.refused(Join(dan, channel, dan, "owner")) == 403
    assert world.refused(Join(cat, channel, cat, "owner")) == 403
    assert world.refused(Join(cat, channel, dan, "owner")) == 403
    assert world.do(Join(ben, channel, cat, "owner"))[0]["role"] == "owner"
    assert roles(world, ben, channel) == {ben: "owner", cat: "owner"}
    assert world.log(channel)[-1][1] == "channel.changed"
    assert world.do(Join(cat, channel, ben, "member"))[0]["role"] == "member"
    assert world.refused(Join(cat, channel, cat, "member")) == 409
    assert roles(world, ben, channel) == {ben: "member", cat: "owner"}
    assert world.do(Join(root, channel, root, "owner")) == ({"user": root, "role": "owner", "joined_seq": 5}, True)
    assert world.do(Join(ben, channel, cat)) == ({"user": cat, "role": "owner", "joined_seq": 2}, False)


def test_nobody_joins_an_archived_channel(world, four):
    _, ben, cat, dan = four
    channel = world.channel(ben, cat)
    world.do(ChangeChannel(ben, channel, archived=True))
    assert world.refused(Join(dan, channel, dan)) == 409
    assert not world.do(Join(cat, channel, cat))[1]
    world.do(Leave(cat, channel, cat))


def test_who_leaves_gets_no_more(world, four):
    _, ben, cat, dan = four
    channel = world.channel(ben, cat, dan)
    world.do(Leave(cat, channel, cat))
    event = world.events[-1]
    assert (event.seq, event.kind, event.actor, event.subject, event.left) == (4, "member.left", cat, cat, True)
    assert json.loads(event.frame)["data"] == {"user": cat, "role": "member"}
    world.do(Leave(ben, channel, dan))
    assert (world.events[-1].actor, world.events[-1].subject) == (ben, dan)
    assert roles(world, ben, channel) == {ben: "owner"}
    world.do(Leave(cat, channel, cat))
    assert world.log(channel)[-1][0] == 5
    assert world.refused(Leave(ben, channel, cat)) == 404
    with pytest.raises(Refused) as refused:
        world.reader.history(cat, channel)
    assert refused.value.status == 403


def test_who_may_remove_whom(world, four):
    root, ben, cat, dan = four
    public, private = world.channel(ben, cat, dan), world.channel(ben, cat, dan, kind="private")
    for channel in (public, private):
        assert world.refused(Leave(cat, channel, dan)) == 403
    world.do(Leave(root, public, dan))
    assert world.refused(Leave(root, private, dan)) == 404
    assert world.refused(Leave(root, private, root)) == 404


def test_the_last_owner_hands_over_to_the_longest_member(world, four):
    _, ben, cat, dan = four
    channel = world.channel(ben, cat, dan)
    world.do(Leave(ben, channel, ben))
    assert roles(world, cat, channel) == {cat: "owner", dan: "member"}
    assert [(seq, kind) for seq, kind, _ in world.log(channel)[3:]] == [(4, "member.left"), (5, "channel.changed")]
    world.do(Leave(cat, channel, dan))
    world.do(Leave(cat, channel, cat))
    assert world.reader.channels(cat, "public")[0]["id"] == channel
    assert world.do(Join(dan, channel, dan))[0]["role"] == "owner"


def test_an_inactive_heir_inherits_nothing(world, four):
    root, ben, cat, dan = four
    channel = world.channel(ben, cat, dan)
    world.do(DeactivateUser(root, cat))
    world.do(Leave(ben, channel, ben))
    assert roles(world, dan, channel) == {cat: "member", dan: "owner"}


def test_a_private_channel_nobody_is_in_is_no_more(world, four):
    _, ben, cat, _ = four
    channel = world.channel(ben, cat, kind="private", name="secret")
    world.do(Leave(ben, channel, ben))
    world.do(Leave(cat, channel, cat))
    assert world.channel(ben, kind="private", name="secret") != channel
    assert world.all("SELECT deleted FROM channels WHERE id = ?", channel) == [(1,)]


def test_joins_are_found_by_their_version(world, four):
    _, ben, cat, dan = four
    channel = world.channel(ben)
    joins, version = world.reader.joins_after(0)
    assert joins == [(version, channel, ben, 1)]
    assert world.reader.joins_after(version) == ([], version)
    world.do(Join(cat, channel, cat))
    world.do(Join(dan, channel, dan))
    world.do(Leave(cat, channel, cat))
    world.do(Join(cat, channel, cat))
    assert world.reader.joins_after(version) == (
        [(version + 2, channel, dan, 3), (version + 3, channel, cat, 5)], version + 3)
    assert world.reader.memberships([ben, cat, 999]) == {ben: [(channel, 1, 5)], cat: [(channel, 5, 5)], 999: []}


def test_unread_counts_what_others_wrote(world, four):
    _, ben, cat, _ = four
    channel = world.channel(ben, cat)
    messages = [world.post(ben, channel, f"{n}") for n in range(4)]
    world.post(cat, channel, "own")
    world.post(ben, channel, "reply", root=messages[0]["id"])
    assert marks(world, cat, channel) == (4, 0)
    assert marks(world, ben, channel) == (1, 0)
    world.do(DeleteMessage(ben, messages[1]["id"]))
    assert marks(world, cat, channel) == (3, 0)
    read = world.do(MarkRead(cat, channel, messages[2]["seq"]))
    assert (read["last_read"], read["unread"], read["mentions"]) == (messages[2]["seq"], 1, 0)
    assert world.notices[-1] == Notice(cat, {"read": {"channel": channel, **read}})
    assert marks(world, cat, channel) == (1, 0)


def test_the_marker_grows_unless_it_is_put_back(world, four):
    _, ben, cat, dan = four
    channel = world.channel(ben, cat)
    seqs = [world.post(ben, channel)["seq"] for _ in range(3)]
    first = world.do(MarkRead(cat, channel, seqs[1]))
    told = len(world.notices)
    assert world.do(MarkRead(cat, channel, seqs[0])) == first
    assert world.do(MarkRead(cat, channel, seqs[1])) == first
    assert len(world.notices) == told
    back = world.do(MarkRead(cat, channel, seqs[0], back=True))
    assert (back["last_read"], back["unread"], back["rev"]) == (seqs[0], 2, first["rev"] + 1)
    last = world.do(MarkRead(cat, channel, 10**9))
    assert (last["last_read"], last["unread"], last["rev"]) == (seqs[2], 0, first["rev"] + 2)
    assert world.refused(MarkRead(dan, channel, 1)) == 403
    assert world.refused(MarkRead(dan, 999, 1)) == 404
    world.do(Leave(cat, channel, cat))
    world.now_ms += 1000
    world.do(Join(cat, channel, cat))
    assert world.reader.channel(cat, channel)["member"]["rev"] > last["rev"]


def test_mentions_are_rows_of_members(world, four):
    root, ben, cat, dan = four
    channel = world.channel(ben, cat, dan)
    cases = [
        ("@cat look", [cat]), ("hi @cat, @DAN! and @cat", [cat, dan]), ("mail cat@dan.org", []),
        ("@root is not here", []),
        ("@nobody", []), ("@ben that is me", []), ("@channel all", [cat, dan]), ("(@dan)", [dan]), ("@cat.", [cat]),
        ("@cats @ca @", []), ("@cat-", [cat]), ("@@cat", []), ("no one", []),
    ]
    posts = world.together(*(PostMessage(ben, channel, f"case{n}", text) for n, (text, _) in enumerate(cases)))
    assert [message["mentions"] for message, _ in posts] == [expected for _, expected in cases]
    assert marks(world, cat, channel) == (len(cases), 5)
    one_by_one = [world.post(ben, channel, text)["mentions"] for text, _ in cases]
    assert one_by_one == [expected for _, expected in cases]
    world.do(MarkRead(cat, channel, 10**9))
    assert marks(world, cat, channel) == (0, 0)
    message = world.post(ben, channel, "@cat")
    assert marks(world, cat, channel) == (1, 1)
    assert world.do(EditMessage(ben, message["id"], "@dan"))["mentions"] == [dan]
    assert marks(world, cat, channel) == (1, 0)
    world.do(EditMessage(ben, message["id"], "@cat @dan"))
    world.do(DeleteMessage(ben, message["id"]))
    assert marks(world, cat, channel) == (0, 0)
    reply = world.post(ben, channel, "@cat", root=world.post(cat, channel)["id"])
    assert reply["mentions"] == [cat]
    assert marks(world, cat, channel) == (0, 1)
    world.do(DeactivateUser(root, dan))
    assert world.post(ben, channel, "@channel @dan")["mentions"] == [cat]
