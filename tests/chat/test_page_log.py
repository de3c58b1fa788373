"""The page's reducer: what it builds from events is what one gets by fetching anew, however they arrive."""
from __future__ import annotations

import random

import pytest

from hotpath.chat.store import EditMessage

from .pagelogs import PageLog, talking

SEEDS = range(3)


@pytest.fixture(params=SEEDS)
def talk(request, tmp_path):
    with talking(tmp_path, request.param) as talk:
        talk.go_on(25)
        yield talk


@pytest.fixture
def log(talk, tmp_path):
    log = PageLog(tmp_path / "page", talk.me, root=talk.thread)
    yield log
    log.close()


def joined_at_head(log, talk):
    """The page is loaded, the socket ready: events follow."""
    log.do("listed", talk.listed())
    log.do("begin", talk.head + 1)
    assert log.do("page", talk.history(limit=200), "anew", None)


def expect_as_fetched_anew(log, talk):
    assert log["position"] == talk.head
    assert not log["hasHole"]
    messages = talk.all_messages()
    first = log["rows"][0]["seq"] if log["rows"] else 0
    assert log["rows"] == [each for each in messages if each["seq"] >= first]
    assert log["moreBefore"] == any(each["seq"] < first for each in messages)
    member = talk.listed()["member"]
    if not log["isStale"]:
        assert (log["unread"], log["mentions"]) == (member["unread"], member["mentions"])


def test_events_in_order_give_what_fetching_gives(log, talk):
    joined_at_head(log, talk)
    before = log["position"]
    talk.go_on(60)
    for frame in talk.frames(before):
        log.do("event", frame)
    assert not log["isStale"] or talk.listed()["member"]["last_read"] < before
    expect_as_fetched_anew(log, talk)


def test_shuffled_and_doubled_events_give_the_same(log, talk):
    joined_at_head(log, talk)
    before = log["position"]
    talk.go_on(60)
    frames = talk.frames(before) * 2
    random.Random(talk.head).shuffle(frames)
    for frame in frames:
        log.do("event", frame)
    expect_as_fetched_anew(log, talk)


def test_each_event_is_told_once_and_in_order(log, talk):
    joined_at_head(log, talk)
    before = log["position"]
    talk.go_on(30)
    frames = talk.frames(before) * 3
    random.Random(1).shuffle(frames)
    told = [seq for frame in frames for seq in log.do("event", frame)]
    assert told == list(range(before + 1, talk.head + 1))


def test_a_lost_event_is_a_hole_until_it_is_fetched(log, talk):
    joined_at_head(log, talk)
    before = log["position"]
    talk.go_on(40)
    frames = talk.frames(before)
    choose = random.Random(talk.head)
    lost = set(choose.sample(range(len(frames) - 1), 5))
    for i, frame in enumerate(frames):
        if i not in lost:
            log.do("event", frame)
    assert log["hasHole"]
    assert log["position"] == frames[min(lost)]["seq"] - 1
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    expect_as_fetched_anew(log, talk)


def test_a_log_cut_anywhere_goes_on_from_there(log, talk):
    joined_at_head(log, talk)
    choose = random.Random(talk.head)
    for _ in range(5):
        talk.go_on(15)
        frames = talk.frames(log["position"])
        for frame in frames[:choose.randrange(len(frames))]:
            log.do("event", frame)
        assert log.do("begin", log["position"] + 1) is True
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    expect_as_fetched_anew(log, talk)


def test_pages_read_a_moment_before_the_events_are_brought_up_to_date(log, talk):
    log.do("begin", talk.head + 1)
    choose = random.Random(talk.head)
    newest = talk.history(limit=10)
    talk.go_on(10)
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    assert log.do("page", newest, "anew", None)
    while log["moreBefore"]:
        cursor = log["rows"][0]["seq"]
        page = talk.history(before=cursor, limit=choose.randrange(1, 9))
        talk.go_on(3)
        for frame in talk.frames(log["position"]):
            log.do("event", frame)
        assert log.do("page", page, "before", cursor)
    expect_as_fetched_anew(log, talk)
    assert log["rows"] == talk.all_messages()


def test_pages_read_after_events_that_are_still_to_come_count_nothing_twice(log, talk):
    log.do("listed", talk.listed())
    log.do("begin", talk.head + 1)
    before = log["position"]
    talk.go_on(30)
    assert log.do("page", talk.history(limit=200), "anew", None)
    shown = log["rows"]
    for frame in talk.frames(before):
        log.do("event", frame)
        assert log["rows"] == shown         # nothing goes back to an older state on the way
    expect_as_fetched_anew(log, talk)


def test_a_page_too_old_to_be_brought_up_to_date_is_refused(log, talk):
    stale = talk.history(limit=200)
    talk.go_on(5)
    log.do("begin", talk.head + 1)
    assert log.do("page", stale, "anew", None) is False
    assert not log["isLoaded"]
    assert log.do("page", talk.history(limit=200), "anew", None) is True
    expect_as_fetched_anew(log, talk)


def test_a_page_beside_other_rows_than_now_is_dropped(log, talk):
    joined_at_head(log, talk)
    shown = log["rows"]
    cursor = shown[3]["seq"]
    assert log.do("page", talk.history(before=cursor), "before", cursor) is True
    assert log["rows"] == shown


def test_from_the_middle_one_comes_to_both_ends(log, talk):
    log.do("begin", talk.head + 1)
    messages = talk.all_messages()
    assert log.do("page", talk.history(around=messages[len(messages) // 2]["seq"], limit=4), "anew", None)
    while log["moreAfter"]:
        talk.go_on(1)
        for frame in talk.frames(log["position"]):
            log.do("event", frame)
        cursor = log["rows"][-1]["seq"]
        assert log.do("page", talk.history(after=cursor, limit=5), "after", cursor)
    while log["moreBefore"]:
        cursor = log["rows"][0]["seq"]
        assert log.do("page", talk.history(before=cursor, limit=5), "before", cursor)
    expect_as_fetched_anew(log, talk)


def test_an_event_beyond_a_gap_of_pages_leaves_no_row_alone(log, talk):
    log.do("begin", talk.head + 1)
    log.do("page", talk.history(around=1, limit=2), "anew", None)
    shown = [row["id"] for row in log["rows"]]
    talk.go_on(20)
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    assert [row["id"] for row in log["rows"]] == shown
    assert log["moreAfter"]


def test_what_was_trimmed_comes_back_by_pages(talk, tmp_path):
    log = PageLog(tmp_path / "page", talk.me, max_rows=8)
    try:
        joined_at_head(log, talk)
        log.do("trim", "last")
        assert len(log["rows"]) == 8
        assert log["moreBefore"]
        while log["moreBefore"]:
            cursor = log["rows"][0]["seq"]
            log.do("page", talk.history(before=cursor, limit=5), "before", cursor)
            log.do("trim", "first")
            assert len(log["rows"]) <= 8
        assert log["moreAfter"]
        while log["moreAfter"]:
            cursor = log["rows"][-1]["seq"]
            log.do("page", talk.history(after=cursor, limit=5), "after", cursor)
            log.do("trim", "last")
        expect_as_fetched_anew(log, talk)
    finally:
        log.close()


def test_counts_follow_the_marker_here_and_in_other_tabs(log, talk):
    joined_at_head(log, talk)
    choose = random.Random(talk.head)
    log.do("read", {"channel": talk.channel, **talk.read(talk.head)})
    start = log["position"]
    for _ in range(8):
        talk.go_on(6)
        for frame in talk.frames(log["position"]):
            log.do("event", frame)
        frame = talk.read(choose.randrange(start, talk.head + 1), back=choose.random() < 0.5)
        log.do("read", frame)
        log.do("read", frame)
        assert not log["isStale"]
        expect_as_fetched_anew(log, talk)


def test_a_marker_before_all_we_heard_asks_for_the_list(log, talk):
    joined_at_head(log, talk)
    log.do("read", talk.read(talk.head))
    log.do("read", talk.read(1, back=True))
    assert log["isStale"]
    talk.go_on(10)
    log.do("listed", talk.listed())
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    log.do("listed", talk.listed())
    assert not log["isStale"]
    expect_as_fetched_anew(log, talk)


def test_an_older_marker_changes_nothing(log, talk):
    joined_at_head(log, talk)
    old = talk.read(talk.head)
    new = talk.read(1, back=True)
    listed = talk.listed()
    log.do("read", new)
    log.do("listed", listed)
    log.do("read", old)
    assert log["unread"] == new["unread"] > 0


def test_a_reset_forgets_and_a_new_page_shows_all(log, talk):
    joined_at_head(log, talk)
    talk.go_on(20)
    log.do("reset", talk.head)
    assert (log["rows"], log["isLoaded"], log["position"]) == ([], False, talk.head)
    assert log.do("page", talk.history(limit=200), "anew", None)
    log.do("listed", talk.listed())
    expect_as_fetched_anew(log, talk)


def test_another_place_in_the_log_than_ours_is_a_new_beginning(log, talk):
    joined_at_head(log, talk)
    talk.go_on(10)
    assert log.do("begin", talk.head + 1) is False
    assert log["rows"] == []
    assert log.do("page", talk.history(limit=200), "anew", None)
    log.do("listed", talk.listed())
    expect_as_fetched_anew(log, talk)


PENDING = {"text": "mine", "root": None, "at": 1, "failed": None}


@pytest.mark.parametrize("way", ["event", "answer", "page", "answer and event", "event and answer"])
def test_what_was_pending_is_there_once_whatever_tells_of_it(log, talk, way):
    joined_at_head(log, talk)
    before = log["position"]
    log.do("queue", {**PENDING, "client_msg_id": "x1", "channel": talk.channel})
    assert [each["client_msg_id"] for each in log["pending"]] == ["x1"]
    message = talk.world.post(talk.me, talk.channel, "mine", id="x1")
    for step in way.split(" and "):
        if step == "event":
            for frame in talk.frames(before):
                log.do("event", frame)
        elif step == "answer":
            log.do("answer", message, before)
        else:
            log.do("unload")
            log.do("page", talk.history(limit=200), "anew", None)
        assert log["pending"] == []
        assert [row["client_msg_id"] for row in log["rows"]].count("x1") == 1
    for frame in talk.frames(before):
        log.do("event", frame)
    expect_as_fetched_anew(log, talk)


def test_pending_survives_a_reset(log, talk):
    joined_at_head(log, talk)
    log.do("queue", {**PENDING, "client_msg_id": "x1", "channel": talk.channel, "failed": "refused"})
    log.do("reset", talk.head)
    assert [(each["client_msg_id"], each["failed"]) for each in log["pending"]] == [("x1", "refused")]


def test_an_answer_is_taken_only_where_nothing_newer_is_known(log, talk):
    joined_at_head(log, talk)
    asked_at = log["position"]
    user, message = next((row["user"], row["id"]) for row in log["rows"] if not row["deleted"])
    answer = talk.world.do(EditMessage(user, message, "first"))
    talk.world.do(EditMessage(user, message, "second"))
    for frame in talk.frames(asked_at):
        log.do("event", frame)
    log.do("answer", answer, asked_at)
    expect_as_fetched_anew(log, talk)


def test_a_thread_is_what_fetching_it_gives(log, talk):
    joined_at_head(log, talk)
    reader = talk.world.reader
    talk.go_on(10)
    asked_at = log["position"]
    fetched = reader.thread(talk.me, talk.thread)
    talk.go_on(10)
    for frame in talk.frames(asked_at):
        log.do("event", frame)
    log.do("thread", [fetched["root"], *fetched["messages"]], asked_at)
    talk.go_on(20)
    for frame in talk.frames(log["position"]):
        log.do("event", frame)
    now = reader.thread(talk.me, talk.thread, limit=200)
    assert log["replies"] == now["messages"]
    assert {**log["root"], "replies": 0} == {**now["root"], "replies": 0}
