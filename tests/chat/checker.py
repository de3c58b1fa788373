"""Is a run one that a chat which loses, doubles and swaps nothing could have made?

Everything here is a pure function of what clients recorded (`story`), of what the tables hold (`rows`), and of what
was fetched anew by HTTP; `watcher` is the process that collects these and asks. Each check yields what it found.
"""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from tests.chat.rows import EventRow, Table
from tests.chat.story import Connection, Send, Story


class Violation(NamedTuple):
    """One promise broken: `kind` names the promise, `text` the case."""

    kind: str
    text: str


def said(send: Send) -> str:
    """For people."""
    return f"{send.user}'s {send.cmid} {send.text[:40]!r} in channel {send.channel}"


def check_sends(story: Story, table: Table) -> Iterator[Violation]:
    """What was acknowledged is there once, what was refused is not there, and everything was answered."""
    rows = defaultdict(list)
    for row in table.messages:
        rows[row.user, row.cmid].append(row)
    stored = Counter((event_user(event), event_text(event)) for events in table.events.values() for event in events
                     if event.kind == "message")
    wanted = Counter((send.user, send.text) for send in story.sends.values())
    for key, send in story.sends.items():
        mine = rows.get(key, [])
        if not send.acked and not send.refused:
            yield Violation("unanswered", f"{said(send)} had no answer in {send.tries} tries")
        if len(mine) > 1:
            yield Violation("doubled", f"{said(send)} has {len(mine)} rows")
        # An id that was lost on the way to the table would hide a second row: texts are unique too.
        if wanted[send.user, send.text] == 1 and stored[send.user, send.text] > 1:
            yield Violation("doubled", f"{said(send)} is {stored[send.user, send.text]} times in the log")
        if send.refused and not send.acked and (mine or stored[send.user, send.text]):
            yield Violation("refused", f"{said(send)} was answered {send.refused}, and yet is there")
        if len({(message["id"], message["seq"]) for _, message in send.acked}) > 1:
            yield Violation("doubled", f"{said(send)} was acknowledged as {[m['id'] for _, m in send.acked]}")
        if sum(status == 201 for status, _ in send.acked) > 1:
            yield Violation("doubled", f"{said(send)} was created twice")
        for _, message in send.acked[:1]:
            yield from check_row(send, message, table, [row.id for row in mine])


def check_row(send: Send, message: dict[str, Any], table: Table, ids: list[int]) -> Iterator[Violation]:
    """The acknowledged message is in the table and, with its text, in the log."""
    if message["id"] not in ids and not any(row.id == message["id"] for row in table.messages):
        yield Violation("lost", f"{said(send)} was acknowledged as {message['id']} and is not in the table")
        return
    events = table.events.get(send.channel, [])
    event = events[message["seq"] - 1] if 0 < message["seq"] <= len(events) else None
    if event is None or event.kind != "message" or event_text(event) != send.text:
        yield Violation("lost", f"{said(send)} was acknowledged as seq {message['seq']}, where the log has {event}")


def event_text(event: EventRow) -> str:
    """Of a `message` event, as it was sent."""
    return str(read_data(event)["text"])


def event_user(event: EventRow) -> int:
    """Who a message or a membership event is about."""
    return int(read_data(event)["user"])


def read_data(event: EventRow) -> dict[str, Any]:
    """Its JSON."""
    data: dict[str, Any] = msgspec.json.decode(event.data)
    return data


def check_log(table: Table) -> Iterator[Violation]:
    """O1: a channel's seqs are 1, 2, 3 … to its head, and each message is there with its event."""
    for channel, head in table.heads.items():
        seqs = [event.seq for event in table.events.get(channel, [])]
        if seqs != list(range(1, head + 1)):
            gone = sorted(set(range(1, head + 1)) - set(seqs))
            yield Violation("log", f"channel {channel} has head {head}, {len(seqs)} events, without {gone[:10]}")
    by_place = {(event.channel, event.seq): event.kind for events in table.events.values() for event in events}
    for row in table.messages:
        if by_place.get((row.channel, row.seq)) != "message":
            yield Violation("log", f"message {row.id} has no event {row.channel}/{row.seq}")


class Place:
    """Where one connection stands in one channel."""

    def __init__(self, following: int) -> None:
        self.next = following
        self.got: set[int] = set()
        self.missed: set[int] = set()
        self.left = False


def check_connection(connection: Connection, story: Story, table: Table, *, resume_max: int) -> Iterator[Violation]:
    """O2 and O4, for one connection."""
    name = f"connection {connection.number} of client {connection.client}, user {connection.user}"
    places: dict[int, Place] = {}
    fresh: set[int] = set()         # channels whose next event must be the own member.joined
    for what, *rest in connection.items:
        if what == "ready":
            yield from check_ready(connection, table, name, resume_max=resume_max)
            places |= {row["id"]: Place(row["from"]) for row in connection.ready or ()}
        elif what == "frame":
            frame = rest[0]
            match frame["type"]:
                case "channel.added":
                    places[frame["channel"]] = Place(frame["from"])
                    fresh.add(frame["channel"])
                case "channel.removed":
                    places.pop(frame["channel"], None)
                case "reset":
                    places[frame["channel"]] = Place(frame["head"] + 1)
        else:
            channel, seq, digest = rest
            event = story.frames[channel, seq][digest]
            place = places.get(channel)
            if place is None or place.left:
                yield Violation("stranger", f"{name}: {channel}/{seq} where it follows nothing")
                continue
            yield from check_step(place, channel, seq, name)
            own = event["kind"] in ("member.joined", "member.left") and event["data"]["user"] == connection.user
            if channel in fresh:
                fresh.discard(channel)
                if not own or event["kind"] != "member.joined":
                    yield Violation("joined", f"{name}: channel.added is followed by {channel}/{seq} {event['kind']}")
            place.left = own and event["kind"] == "member.left"


def check_step(place: Place, channel: int, seq: int, name: str) -> Iterator[Violation]:
    """One event's turn."""
    if seq in place.got:
        yield Violation("double", f"{name}: {channel}/{seq} again")
    elif seq in place.missed:
        yield Violation("swap", f"{name}: {channel}/{seq} after {place.next - 1}")
        place.missed.discard(seq)
    elif seq < place.next:
        yield Violation("double", f"{name}: {channel}/{seq}, from before {place.next}")
    elif seq > place.next:
        yield Violation("hole", f"{name}: {channel}/{seq} where {place.next} is due")
        place.missed |= set(range(place.next, seq))
    place.got.add(seq)
    place.next = max(place.next, seq + 1)


def check_ready(connection: Connection, table: Table, name: str, *, resume_max: int) -> Iterator[Violation]:
    """Each channel goes on where it must: what was asked for is resumed unless that is impossible."""
    for row in connection.ready or ():
        channel, since = row["id"], connection.since.get(row["id"])
        if row["status"] == "resumed":
            if since is None or row["from"] != since + 1:
                yield Violation("resume", f"{name}: {channel} resumed from {row['from']}, asked since {since}")
            continue
        if row["from"] != row["head"] + 1:
            yield Violation("resume", f"{name}: {channel} {row['status']} from {row['from']}, head {row['head']}")
        if since is None or since > row["head"] or row["head"] - since > resume_max:
            continue
        between = table.events.get(channel, [])[since : row["head"]]
        if not any(event.kind == "member.left" and event_user(event) == connection.user for event in between):
            yield Violation("resume", f"{name}: {channel} is {row['status']} at {row['head']}, asked since {since}")


def check_frames(story: Story, table: Table) -> Iterator[Violation]:
    """All that arrived is what the log has, and everybody got the same bytes."""
    for (channel, seq), versions in story.frames.items():
        if len(versions) > 1:
            yield Violation("altered", f"{channel}/{seq} arrived in {len(versions)} spellings")
        for event in versions.values():
            yield from check_bytes(event, table, "an event")


def check_bytes(event: dict[str, Any], table: Table, name: str) -> Iterator[Violation]:
    """What arrived is what the log has."""
    log = table.events.get(event["channel"], [])
    row = log[event["seq"] - 1] if 0 < event["seq"] <= len(log) else None
    if row is None:
        yield Violation("phantom", f"{name}: {event['channel']}/{event['seq']} is not in the log")
    elif (event["kind"], event["at"], event["data"]) != (row.kind, row.at, read_data(row)):
        yield Violation("altered", f"{name}: {event} where the log has {row}")


def memberships(table: Table) -> dict[tuple[int, int], list[tuple[int, int | None]]]:
    """(channel, user): from which seq to which they were a member; None: still."""
    spans: defaultdict[tuple[int, int], list[tuple[int, int | None]]] = defaultdict(list)
    for channel, events in table.events.items():
        for event in events:
            if event.kind == "member.joined":
                spans[channel, event_user(event)].append((event.seq, None))
            elif event.kind == "member.left" and (mine := spans[channel, event_user(event)]):
                mine[-1] = mine[-1][0], event.seq
    return spans


def check_strangers(story: Story, table: Table) -> Iterator[Violation]:
    """No event to who was no member at it; who came back may be shown what happened meanwhile."""
    spans = memberships(table)
    for connection in story.connections.values():
        for what, *rest in connection.items:
            if what != "e":
                continue
            channel, seq, _ = rest
            mine = spans.get((channel, connection.user), [])
            if not any(last is None or seq <= last for _, last in mine):
                yield Violation("stranger", f"user {connection.user} got {channel}/{seq}, was a member {mine}")


def check_reached(story: Story, table: Table) -> Iterator[Violation]:
    """Who is connected at the end has all of each channel that they are in."""
    last = {connection.client: connection for connection in story.connections.values()}
    for client in story.finished:
        connection = last.get(client)
        if connection is None or connection.ready is None or connection.code is not None:
            yield Violation("behind", f"client {client} is not connected at the end: {connection and connection.code}")
            continue
        at: dict[int, int] = {}
        for what, *rest in connection.items:
            if what == "ready":
                at |= {row["id"]: row["from"] - 1 for row in connection.ready}
            elif what == "e":
                at[rest[0]] = max(at.get(rest[0], 0), rest[1])
            elif rest[0]["type"] == "channel.added":
                at[rest[0]["channel"]] = rest[0]["from"] - 1
            elif rest[0]["type"] == "reset":
                at[rest[0]["channel"]] = rest[0]["head"]
        for channel, user in table.members:
            if user == connection.user and at.get(channel) != table.heads[channel]:
                yield Violation("behind", f"client {client}, user {user}: channel {channel} ends at "
                                          f"{at.get(channel)}, head {table.heads[channel]}")


def check_pages(story: Story, table: Table) -> Iterator[Violation]:
    """HTTP gives the log without hole, and nothing beyond its head."""
    for page in story.pages:
        name = f"page of user {page.user}: channel {page.channel} after {page.after}"
        seqs = [frame["seq"] for frame in page.frames]
        if seqs != list(range(page.after + 1, page.after + 1 + len(seqs))):
            yield Violation("hole", f"{name} has {seqs[:20]}")
        if seqs and seqs[-1] > page.head:
            yield Violation("hole", f"{name} goes to {seqs[-1]}, beyond its head {page.head}")
        if not seqs and page.head > page.after:
            yield Violation("hole", f"{name} is empty, its head is {page.head}")
        for frame in page.frames:
            yield from check_bytes(frame, table, name)


def check_counts(counts: dict[tuple[int, int], tuple[int, int]], table: Table) -> Iterator[Violation]:
    """`counts`: (channel, user): unread and mentions, as HTTP says; SQL must say the same."""
    for key, told in counts.items():
        if table.unread.get(key) != told:
            yield Violation("unread", f"channel {key[0]}, user {key[1]}: told {told}, counted {table.unread.get(key)}")


def state_of(events: Iterable[EventRow]) -> dict[int, dict[str, Any]]:
    """What a page that has all events shows: id: message."""
    state: dict[int, dict[str, Any]] = {}
    for event in events:
        if not event.kind.startswith(("message", "reaction")):
            continue
        message = read_data(event)
        before = state.get(message["id"])
        if message["root"] is not None and message["root"] in state:
            was_there = before is not None and not before["deleted"]
            state[message["root"]]["replies"] += (not message["deleted"]) - was_there
        # A root's own event says how many replies it had; since then only theirs changed that.
        state[message["id"]] = message
    return state


def check_state(fetched: dict[int, list[dict[str, Any]]], table: Table) -> Iterator[Violation]:
    """`fetched`: channel: messages, as HTTP gives them anew; the events must lead to the same."""
    for channel, messages in fetched.items():
        built, anew = state_of(table.events.get(channel, [])), {message["id"]: message for message in messages}
        for key in sorted(built.keys() | anew.keys()):
            if built.get(key) != anew.get(key):
                yield Violation("state", f"channel {channel}, message {key}: built {built.get(key)}, "
                                         f"fetched {anew.get(key)}")


def check_all(story: Story, table: Table, *, counts: dict[tuple[int, int], tuple[int, int]],
              fetched: dict[int, list[dict[str, Any]]], early: Iterable[str] = (),
              resume_max: int = 1000) -> list[Violation]:
    """All of it. `early`: what a tap of Redis saw before its row was there."""
    found = [Violation("early", text) for text in early]
    found += check_sends(story, table)
    found += check_log(table)
    for connection in story.connections.values():
        found += check_connection(connection, story, table, resume_max=resume_max)
    found += check_frames(story, table)
    found += check_strangers(story, table)
    found += check_reached(story, table)
    found += check_pages(story, table)
    found += check_counts(counts, table)
    found += check_state(fetched, table)
    return found
