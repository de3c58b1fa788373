"""Reading: pages that fit together, and nothing for whom it does not concern."""
import json
import random

import pytest

from hotpath.chat.store import (
    DeleteMessage,
    EditMessage,
    Join,
    Leave,
    OpenDm,
    PostMessage,
    React,
    Refused,
)


@pytest.fixture
def hall(world):
    """(ann, ben, channel, seqs of 20 messages with other events between them)"""
    ann, ben, cat = (world.user(name) for name in ("ann", "ben", "cat"))
    channel = world.channel(ann, ben)
    seqs = []
    for n in range(20):
        seqs.append(world.post(ann, channel, f"text {n}")["seq"])
        if n % 3 == 0:
            world.do(Join(cat, channel, cat))
            world.do(Leave(cat, channel, cat))
    return ann, ben, channel, seqs


def page(world, user, channel, **cursor):
    answer = world.reader.history(user, channel, **cursor)
    return [message["seq"] for message in answer["messages"]], answer["more_before"], answer["more_after"]


def test_pages(world, hall):
    _, ben, channel, seqs = hall
    first, last = seqs[0], seqs[-1]
    get = lambda **cursor: page(world, ben, channel, **cursor)      # noqa: E731
    assert get() == (seqs, False, False)
    assert get(limit=5) == (seqs[-5:], True, False)
    assert get(before=seqs[5], limit=3) == (seqs[2:5], True, True)
    assert get(before=seqs[5], limit=5) == (seqs[:5], False, True)
    assert get(before=first) == ([], False, True)
    assert get(before=10**9, limit=2) == (seqs[-2:], True, False)
    assert get(after=0, limit=4) == (seqs[:4], False, True)
    assert get(after=seqs[3], limit=4) == (seqs[4:8], True, True)
    assert get(after=seqs[15], limit=4) == (seqs[16:], True, False)
    assert get(after=last) == ([], True, False)
    assert get(after=10**9) == ([], True, False)
    assert get(around=seqs[10], limit=5) == (seqs[8:13], True, True)
    assert get(around=seqs[10] + 1, limit=4) == (seqs[9:13], True, True)
    assert get(around=first, limit=4) == (seqs[:2], False, True)
    assert get(around=last, limit=4) == (seqs[-3:], True, False)
    assert get(around=seqs[10], limit=1) == ([seqs[10]], True, True)
    assert get(around=10**9, limit=4) == (seqs[-2:], True, False)
    assert world.reader.history(ben, channel)["head"] == world.log(channel)[-1][0]
    with pytest.raises(Refused) as refused:
        world.reader.history(ben, channel, before=1, after=1)
    assert refused.value.status == 422
    assert [error["field"] for error in refused.value.errors] == ["before", "after"]


def test_an_empty_channel_has_no_more_anywhere(world):
    ann = world.user("ann")
    channel = world.channel(ann)
    for cursor in ({}, {"before": 1}, {"after": 0}, {"around": 1}):
        assert world.reader.history(ann, channel, **cursor) == {"messages": [], "head": 1, "more_before": False,
                                                                "more_after": False}


def test_walking_both_ways_meets_everything_once(world, hall):
    _, ben, channel, seqs = hall
    up, cursor = [], 0
    while True:
        got, _, more = page(world, ben, channel, after=cursor, limit=3)
        up += got
        if not more:
            break
        cursor = got[-1]
    down, cursor = [], 10**9
    while True:
        got, more, _ = page(world, ben, channel, before=cursor, limit=7)
        down = got + down
        if not more:
            break
        cursor = got[0]
    assert up == down == seqs


def test_events_by_portions(world, hall):
    _, ben, channel, _ = hall
    head = world.log(channel)[-1][0]
    frames, cursor = [], 0
    while cursor < head:
        got, seen = world.reader.events(ben, channel, after=cursor, limit=7)
        assert seen == head
        frames += got
        cursor = json.loads(got[-1])["seq"]
    assert [json.loads(frame)["seq"] for frame in frames] == list(range(1, head + 1))
    assert world.reader.events(ben, channel, after=head) == ([], head)
    assert world.reader.event_frames(channel, head, 10) == []


def test_strangers_read_nothing(world, hall):
    ann, ben, channel, _ = hall
    dan = world.user("dan")
    private = world.channel(ann, kind="private")
    dm = world.do(OpenDm(ann, (ben,)))[0]["id"]
    for where, status in ((channel, 403), (private, 404), (dm, 404), (999, 404)):
        message = world.post(ann, where)["id"] if where != 999 else 999
        status_of_message = 404 if where == 999 else status
        for read in (lambda where=where: world.reader.history(dan, where),
                     lambda where=where: world.reader.events(dan, where),
                     lambda where=where: world.reader.members(dan, where),
                     lambda where=where: world.reader.search(dan, "hello", channel=where)):
            with pytest.raises(Refused) as refused:
                read()
            assert refused.value.status == status
        for read in (lambda message=message: world.reader.message(dan, message),
                     lambda message=message: world.reader.thread(dan, message)):
            with pytest.raises(Refused) as refused:
                read()
            assert refused.value.status == status_of_message
    assert world.reader.channel(dan, channel)["id"] == channel
    for where in (private, dm, 999):
        with pytest.raises(Refused) as refused:
            world.reader.channel(dan, where)
        assert refused.value.status == 404


def test_gateways_ask_for_many_at_once(world, hall):
    ann, _, channel, _ = hall
    head = world.log(channel)[-1][0]
    many = range(1, 5000)
    assert world.reader.heads([*many, channel])[channel] == head
    assert world.reader.memberships([*many, ann])[ann] == [(channel, 1, head)]
    assert world.reader.heads([]) == {}
    assert world.reader.memberships([]) == {}
    assert world.reader.sessions_alive([]) == {}
    assert world.reader.joins_after(2**62)[0] == []


def test_the_log_tells_what_the_tables_say(world):
    """Whoever applies each event in turn has what is fetched anew; `replies` and `head` follow from the rest."""
    dice = random.Random(7)
    users = [world.user(name) for name in ("ann", "ben", "cat")]
    channel = world.channel(*users)
    ids: list[int] = []
    for n in range(200):
        user = dice.choice(users)
        root = dice.choice(ids) if ids and dice.random() < 0.3 else None
        operation = dice.choice([
            lambda user=user, n=n, root=root: PostMessage(user, channel, f"n{n}",
                                                          dice.choice(["hi", "@cat", "@channel x"]), root),
            lambda user=user, n=n: PostMessage(user, channel, f"n{n}", "plain"),
            lambda user=user, n=n: EditMessage(user, dice.choice(ids), f"edited {n} @ben"),
            lambda user=user: DeleteMessage(user, dice.choice(ids)),
            lambda user=user: React(user, dice.choice(ids), dice.choice("👍🎉🙈"), dice.random() < 0.7),
        ])
        try:
            answer = world.do(operation())
        except (Refused, IndexError):
            continue
        if isinstance(answer, tuple) and answer[1]:
            ids.append(answer[0]["id"])
    state: dict[int, dict] = {}
    for frame in world.reader.events(users[0], channel, limit=1000)[0]:
        event = json.loads(frame)
        if event["kind"].startswith(("message", "reaction")):
            state[event["data"]["id"]] = event["data"]
    for message in state.values():
        message["replies"] = sum(other["root"] == message["id"] and not other["deleted"] for other in state.values())
    fetched = world.reader.history(users[1], channel, limit=200)["messages"]
    assert fetched == sorted(state.values(), key=lambda message: message["seq"])
    assert len(fetched) > 50
