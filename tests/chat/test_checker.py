"""Each kind of wrong history is found, and a right one is not blamed."""
import dataclasses
import json

import pytest

from tests.chat.checker import check_all, state_of
from tests.chat.history import History, read_history
from tests.chat.rows import EventRow, MessageRow, Table
from tests.chat.story import read_story

ALICE, BOB, EVE = 1, 2, 3
C = 7


def message(id_, seq, user, text, **more):
    return {"id": id_, "channel": C, "seq": seq, "user": user, "text": text, "at": seq, "client_msg_id": f"m{id_}",
            "root": None, "edited_at": None, "deleted": False, "reactions": {}, "replies": 0, "mentions": []} | more


LOG = [
    ("member.joined", {"user": ALICE, "role": "owner"}),
    ("member.joined", {"user": BOB, "role": "member"}),
    ("message", message(1, 3, ALICE, "one")),
    ("message", message(2, 4, ALICE, "two")),
    ("message", message(3, 5, BOB, "three", root=1)),
    ("message.edited", message(2, 4, ALICE, "two!", edited_at=6)),
]


def table_of(log=LOG, **more):
    events = [EventRow(C, seq, kind, json.dumps(data), seq) for seq, (kind, data) in enumerate(log, 1)]
    first = {data["id"]: data for kind, data in log if kind == "message"}
    rows = [MessageRow(d["id"], C, d["seq"], d["user"], d["client_msg_id"], d["text"], False) for d in first.values()]
    return dataclasses.replace(Table(
        heads={C: len(log)}, events={C: events}, messages=rows, members={(C, ALICE), (C, BOB)},
        unread={(C, ALICE): (1, 0), (C, BOB): (2, 0)}), **more)


def frame(seq, log=LOG, **more):
    kind, data = log[seq - 1]
    event = {"type": "event", "channel": C, "seq": seq, "kind": kind, "at": seq, "actor": data["user"], "data": data}
    return event | more


class Run:
    """A hand-made history: two sends of alice, bob's one, and bob's client over two connections."""

    def __init__(self, folder):
        self.history = History(folder / "history")
        self.note = self.history.note
        self.note("person", ALICE, "alice", "a")
        self.note("person", BOB, "bob", "b")

    def send(self, user, cmid, seq, text, *, status=201):
        self.note("sent", user, cmid, C, text, None)
        self.note("acked", user, cmid, status, {"id": int(cmid[1:]), "seq": seq})

    def sends(self):
        self.send(ALICE, "m1", 3, "one")
        self.send(ALICE, "m2", 4, "two")
        self.send(BOB, "m3", 5, "three")

    def open(self, number, *, user=BOB, client=1, since=None, following=3, status="live", head=None):
        self.note("opened", number, client, user, "g1")
        self.note("start", number, since or {})
        self.note("ready", number, [{"id": C, "head": following - 1 if head is None else head, "status": status,
                                     "from": following}])

    def events(self, number, *seqs, **more):
        for seq in seqs:
            self.history.event(number, C, seq, json.dumps(frame(seq, **more)).encode())

    def clients(self):
        self.open(1)
        self.events(1, 3, 4)
        self.note("closed", 1, 1006)
        self.open(2, since={C: 4}, following=5, status="resumed", head=6)
        self.events(2, 5, 6)

    def verdict(self, table=None, **more):
        self.note("end", [1], more.pop("finished", [1]))
        self.history.flush()
        table = table or table_of()
        fetched = more.pop("fetched", {C: list(state_of(table_of().events[C]).values())})
        found = check_all(read_story(read_history(self.history.path)), table,
                          counts=more.pop("counts", {(C, ALICE): (1, 0), (C, BOB): (2, 0)}), fetched=fetched, **more)
        return {violation.kind for violation in found}


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_a_right_history_is_not_blamed(run):
    run.sends()
    run.clients()
    run.note("page", 1, BOB, C, 2, 6, [frame(seq) for seq in (3, 4, 5, 6)])
    assert run.verdict() == set()


def test_a_retry_that_gives_the_same_message_is_right(run):
    run.sends()
    run.note("tried", ALICE, "m1", 503)
    run.note("acked", ALICE, "m1", 200, {"id": 1, "seq": 3})
    run.clients()
    assert run.verdict() == set()


@pytest.mark.parametrize(("cmid", "seq", "text", "found"), [
    ("m9", 3, "nine", {"lost"}),            # no such id
    ("m1", 4, "one", {"lost"}),             # another message is there
])
def test_what_was_acknowledged_and_is_not_there_is_lost(run, cmid, seq, text, found):
    run.send(ALICE, cmid, seq, text)
    run.clients()
    assert run.verdict() == found


def test_a_second_row_for_one_client_msg_id_is_doubled(run):
    run.sends()
    run.clients()
    table = table_of()
    table.messages.append(MessageRow(4, C, 4, ALICE, "m1", "one", False))
    assert run.verdict(table) == {"doubled"}


def test_a_second_event_with_the_same_text_is_doubled_whatever_its_id(run):
    run.send(ALICE, "m1", 3, "one")
    run.clients()
    log = [*LOG[:3], ("message", message(2, 4, ALICE, "one")), *LOG[4:]]
    assert "doubled" in run.verdict(table_of(log))


def test_two_acknowledgements_that_differ_are_doubled(run):
    run.sends()
    run.note("acked", ALICE, "m1", 200, {"id": 2, "seq": 4})
    run.clients()
    assert run.verdict() == {"doubled"}


def test_created_twice_is_doubled(run):
    run.sends()
    run.note("acked", ALICE, "m1", 201, {"id": 1, "seq": 3})
    run.clients()
    assert run.verdict() == {"doubled"}


def test_what_was_refused_must_not_be_there(run):
    run.note("sent", ALICE, "m1", C, "one", None)
    run.note("refused", ALICE, "m1", 422)
    run.clients()
    assert run.verdict() == {"refused"}


def test_what_never_had_an_answer_is_named(run):
    run.note("sent", ALICE, "m8", C, "eight", None)
    run.note("tried", ALICE, "m8", "cut")
    run.clients()
    assert run.verdict() == {"unanswered"}


def test_a_log_with_a_hole_is_found(run):
    run.sends()
    table = table_of()
    del table.events[C][3]
    assert "log" in run.verdict(table, finished=[])


def test_a_message_without_its_event_is_found(run):
    table = table_of()
    table.messages.append(MessageRow(9, C, 6, ALICE, "m9", "nine", False))
    assert run.verdict(table, finished=[]) == {"log"}


@pytest.mark.parametrize(("seqs", "found"), [
    ((3, 4, 6), {"hole"}),
    ((3, 4, 4, 5, 6), {"double"}),
    ((2, 3, 4, 5, 6), {"double"}),          # from before `from`
    ((3, 5, 4, 6), {"hole", "swap"}),
    ((3, 4, 5), {"behind"}),
    ((), {"behind"}),
])
def test_one_connection(run, seqs, found):
    run.open(1)
    run.events(1, *seqs)
    assert run.verdict() == found


def test_a_hole_over_a_reconnect_is_found(run):
    run.open(1)
    run.events(1, 3)
    run.note("closed", 1, 1012)
    run.open(2, since={C: 3}, following=5, status="resumed", head=6)
    run.events(2, 5, 6)
    assert run.verdict() == {"resume"}


def test_a_live_start_where_a_resume_was_asked_is_a_hole(run):
    run.open(1, since={C: 2}, following=7, status="live")
    assert run.verdict() == {"resume"}


def test_a_reset_is_right_only_where_a_resume_is_impossible(run):
    run.open(1, since={C: 2}, following=7, status="reset")
    assert run.verdict(resume_max=3) == set()
    assert run.verdict(resume_max=4) == {"resume"}


def test_an_event_before_ready_is_found(run):
    run.note("opened", 1, 1, BOB, "g1")
    run.events(1, 3)
    assert "stranger" in run.verdict(finished=[])


def test_an_event_after_the_own_leave_is_found(run):
    log = [*LOG, ("member.left", {"user": BOB, "role": "member"}), ("message", message(4, 8, ALICE, "bye"))]
    table = table_of(log, members={(C, ALICE)}, unread={(C, ALICE): (1, 0)})
    more = {"counts": {}, "fetched": {}}
    run.open(1)
    run.events(1, 3, 4, 5, 6, 7, log=log)
    assert run.verdict(table, **more) == set()
    run.events(1, 8, log=log)
    assert run.verdict(table, **more) == {"stranger"}


def test_an_event_to_who_was_never_a_member_is_found(run):
    run.open(1, user=EVE)
    run.events(1, 3, 4, 5, 6)
    assert run.verdict() == {"stranger"}


def test_who_is_added_while_connected_gets_the_own_join_first(run):
    run.note("opened", 1, 1, BOB, "g1")
    run.note("start", 1, {})
    run.note("ready", 1, [])
    run.note("frame", 1, {"type": "channel.added", "channel": C, "from": 2})
    run.events(1, 2, 3, 4, 5, 6)
    assert run.verdict() == set()
    run.note("frame", 1, {"type": "channel.added", "channel": C, "from": 3})
    run.events(1, 3, 4, 5, 6)
    assert run.verdict() == {"joined"}


def test_a_reset_in_the_middle_goes_on_behind_its_head(run):
    run.open(1)
    run.events(1, 3)
    run.note("frame", 1, {"type": "reset", "channel": C, "head": 5})
    run.events(1, 6)
    assert run.verdict() == set()


def test_a_client_that_is_away_at_the_end_is_behind(run):
    run.clients()
    run.note("closed", 2, 1006)
    assert run.verdict() == {"behind"}


def test_changed_bytes_are_found(run):
    run.open(1)
    run.events(1, 3, 4, 5)
    run.events(1, 6, at=7)
    assert run.verdict() == {"altered"}


def test_two_spellings_of_one_event_are_found(run):
    run.open(1)
    run.events(1, 3, 4, 5, 6)
    run.open(2, user=ALICE, client=2)
    run.history.event(2, C, 3, json.dumps(frame(3), separators=(",", ":")).encode())
    assert run.verdict() == {"altered"}


def test_an_event_that_nobody_stored_is_found(run):
    run.open(1)
    run.events(1, 3, 4, 5, 6)
    log = [*LOG, ("message", message(4, 7, ALICE, "ghost"))]
    run.events(1, 7, log=log)
    assert run.verdict() == {"phantom", "behind"}


@pytest.mark.parametrize(("seqs", "head"), [((3, 5, 6), 6), ((), 6), ((4, 5, 6), 6), ((3, 4, 5, 6), 5)])
def test_a_page_with_a_hole_is_found(run, seqs, head):
    run.note("page", 1, BOB, C, 2, head, [frame(seq) for seq in seqs])
    assert run.verdict(finished=[]) == {"hole"}


def test_a_drifting_count_is_found(run):
    assert run.verdict(finished=[], counts={(C, BOB): (3, 0)}) == {"unread"}


@pytest.mark.parametrize("change", [{"text": "two"}, {"reactions": {"x": [1]}}, {"deleted": True}])
def test_a_state_that_its_events_do_not_explain_is_found(run, change):
    messages = [item | (change if item["id"] == 2 else {}) for item in state_of(table_of().events[C]).values()]
    assert run.verdict(finished=[], fetched={C: messages}) == {"state"}


def test_a_root_counts_its_undeleted_replies():
    log = [*LOG, ("message", message(4, 7, BOB, "four", root=1)),
           ("message.deleted", message(3, 5, BOB, "", root=1, deleted=True))]
    assert state_of(table_of(log).events[C])[1]["replies"] == 1


def test_what_was_published_early_is_named(run):
    assert run.verdict(finished=[], early=["7/3 was published before its row was there"]) == {"early"}
