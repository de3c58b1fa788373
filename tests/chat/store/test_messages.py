"""Messages: once whatever is retried, changed by whom they belong to, each change an event of the log."""
import json

import pytest

from hotpath.chat.store import (
    ChangeChannel,
    DeleteChannel,
    DeleteMessage,
    EditMessage,
    Leave,
    PostMessage,
    React,
    Refused,
)

from .worlds import World


@pytest.fixture
def pair(world: World) -> tuple[int, int, int]:
    """(owner, member, channel)"""
    owner, member = world.user("ann"), world.user("ben")
    return owner, member, world.channel(owner, member)


def test_a_message_has_the_contracts_shape_and_is_in_the_log(world, pair):
    ann, ben, channel = pair
    message = world.post(ann, channel, "hi 👋 <b>", id="A_b-9")
    assert message == {"id": message["id"], "channel": channel, "seq": 3, "user": ann, "text": "hi 👋 <b>",
                       "at": world.now_ms, "client_msg_id": "A_b-9", "root": None, "edited_at": None,
                       "deleted": False, "reactions": {},
                       "replies": 0, "mentions": []}
    assert world.reader.message(ben, message["id"]) == message
    assert world.reader.history(ben, channel)["messages"] == [message]
    assert world.log(channel) == [(1, "member.joined", ann), (2, "member.joined", ann), (3, "message", ann)]
    frame = json.loads(world.events[-1].frame)
    assert frame == {"type": "event", "channel": channel, "seq": 3, "kind": "message", "at": world.now_ms, "actor": ann,
                     "data": message}


def test_published_frames_are_the_bytes_that_the_table_gives(world, pair):
    ann, ben, channel = pair
    first = world.post(ann, channel, "😀 \\ \" \u2028 ' % ? %s 終わり @ben\n\tend")
    world.do(React(ben, first["id"], "👍🏽", True))
    world.do(EditMessage(ann, first["id"], "ä" * 50))
    world.post(ben, channel, "re", root=first["id"])
    world.do(DeleteMessage(ann, first["id"]))
    world.do(Leave(ben, channel, ben))
    assert world.reader.events(ann, channel, after=0, limit=100)[0] == [event.frame for event in world.events]
    assert world.reader.event_frames(channel, 0, 100) == world.events
    assert [(event.joined, event.left, event.subject) for event in world.events if event.subject] == [
        (True, False, ann), (True, False, ben), (False, True, ben)]


def test_the_same_id_gives_the_same_message(world, pair):
    ann, _, channel = pair
    post = PostMessage(ann, channel, "id", "text")
    first, created = world.do(post)
    assert created
    assert world.do(post) == (first, False)
    world.do(EditMessage(ann, first["id"], "other"))
    again, created = world.do(post)
    assert not created
    assert again["text"] == "other"
    world.do(DeleteMessage(ann, first["id"]))
    assert world.do(post)[0]["deleted"]
    assert world.all("SELECT COUNT(*) FROM messages") == [(1,)]


def test_the_same_id_for_other_content_is_409(world, pair):
    ann, ben, channel = pair
    first = world.post(ann, channel, "text", id="id")
    other = world.channel(ann)
    assert world.refused(PostMessage(ann, channel, "id", "Text")) == 409
    assert world.refused(PostMessage(ann, other, "id", "text")) == 409
    assert world.refused(PostMessage(ann, channel, "id", "text", first["id"])) == 409
    assert world.do(PostMessage(ben, channel, "id", "mine"))[1]
    assert world.do(PostMessage(ann, channel, "ID", "the case matters"))[1]


def test_two_copies_in_one_batch_are_one_message(world, pair):
    ann, ben, channel = pair
    post = PostMessage(ann, channel, "id", "text")
    answers = world.together(post, PostMessage(ben, channel, "b", "between"), post,
                                 PostMessage(ann, channel, "id", "other"), post)
    (first, created), between, second, other, third = answers
    assert created
    assert between[1]
    assert second == third == (first, False)
    assert isinstance(other, Refused)
    assert other.status == 409
    assert [seq for seq, _, _ in world.log(channel)] == [1, 2, 3, 4]
    assert sorted(message["seq"] for message in world.reader.history(ann, channel)["messages"]) == [3, 4]


def test_in_one_batch_the_bad_ones_take_nothing_from_the_good(world, pair):
    ann, ben, channel = pair
    cat = world.user("cat")
    private, archived = world.channel(ann, kind="private"), world.channel(ann, ben)
    world.do(ChangeChannel(ann, archived, archived=True))
    root = world.post(ann, channel)["id"]
    reply = world.post(ben, channel, root=root)["id"]
    dead = world.post(ben, channel)["id"]
    world.do(DeleteMessage(ben, dead))
    head = world.log(channel)[-1][0]
    cases = [
        (PostMessage(ann, channel, "1", "good"), None),
        (PostMessage(cat, channel, "2", "no member"), 403),
        (PostMessage(ben, private, "3", "no member"), 404),
        (PostMessage(ben, 999, "4", "no channel"), 404),
        (PostMessage(999, channel, "5", "no user"), 403),
        (PostMessage(ben, archived, "6", "archived"), 409),
        (PostMessage(ben, channel, "7", "to a reply", reply), 422),
        (PostMessage(ben, channel, "8", "to nothing", 999), 422),
        (PostMessage(ben, channel, "9", "to a deleted one", dead), 422),
        (PostMessage(ann, private, "10", "to one elsewhere", root), 422),
        (PostMessage(ben, channel, "11", " \n\t "), 422),
        (PostMessage(ben, channel, "12", ""), 422),
        (PostMessage(ben, channel, "13", "a\0b"), 422),
        (PostMessage(ben, channel, "14", "half \ud800"), 422),
        (PostMessage(ben, channel, "15", "x" * 8001), 422),
        (PostMessage(ben, channel, "16", "👋" * 8000), None),
        (PostMessage(ben, channel, "17", "in the thread", root), None),
    ]
    answers = world.together(*(operation for operation, _ in cases))
    statuses = [answer.status if isinstance(answer, Refused) else None for answer in answers]
    assert statuses == [status for _, status in cases]
    # The same ones one by one, for whoever has a retry.
    for (operation, status), answer in zip(cases, answers, strict=True):
        if status is None:
            assert world.do(operation) == (answer[0], False)
        else:
            assert world.refused(operation) == status
    assert [seq for seq, _, _ in world.log(channel)[head:]] == [head + 1, head + 2, head + 3]
    assert len(world.log(private)) == 1


def test_a_whole_batch_over_many_channels_keeps_each_log_whole(world, pair):
    ann, ben, _ = pair
    channels = [world.channel(ann, ben) for _ in range(5)]
    posts = [PostMessage((ann, ben)[n % 2], channels[n * 3 % 5], f"n{n}", f"text {n}") for n in range(300)]
    answers = world.together(*posts)
    for channel in channels:
        own = [answer[0] for answer in answers if answer[0]["channel"] == channel]
        assert [message["seq"] for message in own] == list(range(3, 63))
        assert world.reader.history(ann, channel, limit=200)["messages"] == own
        assert [event.seq for event in world.events if event.channel == channel] == list(range(1, 63))
    assert len({answer[0]["id"] for answer in answers}) == 300


def test_only_the_author_edits(world, pair):
    ann, ben, channel = pair
    message = world.post(ben, channel, "one")
    assert world.refused(EditMessage(ann, message["id"], "mine")) == 403
    world.now_ms += 5
    edited = world.do(EditMessage(ben, message["id"], "two"))
    assert edited == {**message, "text": "two", "edited_at": world.now_ms}
    assert world.do(EditMessage(ben, message["id"], "two")) == edited
    assert [kind for _, kind, _ in world.log(channel)[2:]] == ["message", "message.edited"]
    assert world.refused(EditMessage(ben, message["id"], " ")) == 422
    assert world.refused(EditMessage(ben, 999, "x")) == 404


def test_a_deleted_message_keeps_its_place(world, pair):
    ann, ben, channel = pair
    cat = world.user("cat")
    message = world.post(ben, channel, "bad words @ann")
    world.do(React(ann, message["id"], "🙈", True))
    assert world.refused(DeleteMessage(cat, message["id"])) == 403
    world.do(DeleteMessage(ann, message["id"]))
    world.do(DeleteMessage(ben, message["id"]))
    left = world.reader.message(ben, message["id"])
    assert left == {**message, "text": "", "deleted": True, "mentions": []}
    assert world.reader.history(ben, channel)["messages"] == [left]
    assert json.loads(world.events[-1].frame)["data"] == left
    assert [kind for _, kind, _ in world.log(channel)[3:]] == ["reaction.added", "message.deleted"]
    assert world.refused(EditMessage(ben, message["id"], "x")) == 409
    assert world.refused(React(ben, message["id"], "x", True)) == 409
    assert world.all("SELECT COUNT(*) FROM events WHERE data LIKE '%bad words%'") == [(2,)]


def test_a_member_who_owns_nothing_deletes_only_the_own(world, pair):
    ann, ben, channel = pair
    message = world.post(ann, channel)
    assert world.refused(DeleteMessage(ben, message["id"])) == 403


def test_reactions_add_up_once_each_and_keep_their_order(world, pair):
    ann, ben, channel = pair
    id = world.post(ann, channel)["id"]
    world.do(React(ben, id, "👍", True))
    world.do(React(ann, id, "🎉", True))
    world.do(React(ben, id, "👍", True))
    assert world.do(React(ann, id, "👍", True))["reactions"] == {"👍": [ben, ann], "🎉": [ann]}
    for _ in range(2):
        assert world.do(React(ben, id, "👍", False))["reactions"] == {"🎉": [ann], "👍": [ann]}
    assert [kind for _, kind, _ in world.log(channel)[3:]] == [*["reaction.added"] * 3, "reaction.removed"]
    assert json.loads(world.events[-1].frame)["data"] == world.reader.message(ann, id)
    for emoji in ("", "a b", "x" * 65, "\n"):
        assert world.refused(React(ann, id, emoji, True)) == 422


def test_a_message_bears_a_bounded_number_of_emojis(world, pair):
    ann, ben, channel = pair
    id = world.post(ann, channel)["id"]
    for n in range(50):
        world.do(React(ann, id, f"e{n}", True))
    assert world.refused(React(ann, id, "one more", True)) == 422
    assert world.refused(React(ann, id, "more", True)) == 422
    assert world.do(React(ben, id, "e7", True))["reactions"]["e7"] == [ann, ben]


def test_threads_count_the_replies_that_live(world, pair):
    ann, ben, channel = pair
    root = world.post(ann, channel)
    first, second = (world.post(ben, channel, f"re {n}", root=root["id"]) for n in range(2))
    assert world.reader.message(ann, root["id"])["replies"] == 2
    world.do(DeleteMessage(ben, first["id"]))
    thread = world.reader.thread(ann, root["id"])
    assert thread["root"]["replies"] == 1
    assert [(reply["id"], reply["deleted"], reply["root"]) for reply in thread["messages"]] == [
        (first["id"], True, root["id"]), (second["id"], False, root["id"])]
    assert world.reader.thread(ann, root["id"], after=first["seq"], limit=1)["messages"] == [second]


def test_an_archived_channel_stands_still(world, pair):
    ann, ben, channel = pair
    message = world.post(ben, channel, id="known")
    world.do(ChangeChannel(ann, channel, archived=True))
    for operation in (PostMessage(ben, channel, "new", "x"), EditMessage(ben, message["id"], "x"),
                      DeleteMessage(ben, message["id"]), React(ben, message["id"], "x", True)):
        assert world.refused(operation) == 409
    assert world.do(PostMessage(ben, channel, "known", "hello")) == (message, False)
    world.do(ChangeChannel(ann, channel, archived=False))
    assert world.do(PostMessage(ben, channel, "new", "x"))[1]


def test_what_is_in_a_deleted_channel_is_gone(world, pair):
    ann, ben, channel = pair
    message = world.post(ben, channel, id="known")
    world.do(DeleteChannel(ann, channel))
    assert world.refused(PostMessage(ben, channel, "known", "hello")) == 404
    assert world.refused(EditMessage(ben, message["id"], "x")) == 404
    with pytest.raises(Refused) as refused:
        world.reader.message(ben, message["id"])
    assert refused.value.status == 404


def test_whoever_was_kicked_can_do_nothing(world, pair):
    ann, ben, channel = pair
    private = world.channel(ann, ben, kind="private")
    for where, status in ((channel, 403), (private, 404)):
        message = world.post(ben, where, id=f"known{where}")
        world.do(Leave(ann, where, ben))
        for operation in (PostMessage(ben, where, "new", "x"), PostMessage(ben, where, f"known{where}", "hello"),
                          EditMessage(ben, message["id"], "x"), DeleteMessage(ben, message["id"]),
                          React(ben, message["id"], "x", True)):
            assert world.refused(operation) == status
