"""Messages: sent, read, changed, found."""
import json
from urllib.parse import quote

import msgspec
import pytest

from hotpath.core.config import Rate
from tests.chat.api.serving import make_config, new_name, one_engine, serving
from tests.waiting import wait_for

FIELDS = {"id", "channel", "seq", "user", "text", "at", "client_msg_id", "root", "edited_at", "deleted", "reactions",
          "replies", "mentions"}


@pytest.fixture
def channel(bob, cy):
    return bob.channel(members=[cy.id])


def path(channel, rest="messages"):
    return f"/api/channels/{channel}/{rest}"


def test_a_message_is_shown_as_it_was_sent(bob, cy, channel):
    body = {"client_msg_id": "Aa0_-", "text": f"Grüße 😀\n\t@{cy.user['name']} \\ \" </script>"}
    answer = bob.post(path(channel), body)
    assert answer.status == 201
    message = answer.json()
    assert set(message) == FIELDS
    assert message == {
        **body, "id": message["id"], "channel": channel, "seq": 3, "user": bob.id, "at": message["at"], "root": None,
        "edited_at": None, "deleted": False, "reactions": {}, "replies": 0, "mentions": [cy.id]}
    assert cy.get(path(channel)).json()["messages"] == [message]


def test_the_same_message_again_is_the_same_message(bob, cy, channel):
    body = {"client_msg_id": new_name(), "text": "once"}
    first = bob.post(path(channel), body)
    again = bob.post(path(channel), body)
    assert (first.status, again.status) == (201, 200)
    assert first.json() == again.json()
    assert len(bob.get(path(channel)).json()["messages"]) == 1
    # The id is the sender's own.
    assert cy.post(path(channel), body).status == 201


def test_a_root_that_is_no_message_of_the_channel_is_a_wrong_field(bob, channel):
    elsewhere = bob.send(bob.channel())["id"]
    for root in (elsewhere, 2**62):
        answer = bob.post(path(channel), {"client_msg_id": new_name(), "text": "a reply", "root": root})
        assert answer.status == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["root"]


def test_an_id_used_for_something_else_is_a_conflict(bob, channel):
    root = bob.send(channel)["id"]
    body = {"client_msg_id": new_name(), "text": "once"}
    assert bob.post(path(channel), body).status == 201
    assert bob.post(path(channel), {**body, "text": "twice"}).status == 409
    assert bob.post(path(channel), {**body, "root": root}).status == 409
    assert bob.post(path(bob.channel()), body).status == 409
    # Ids are bytes, whatever a database's collation thinks.
    assert bob.post(path(channel), {**body, "client_msg_id": body["client_msg_id"].upper()}).status == 201


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({}, ["client_msg_id", "text"]),
    ({"client_msg_id": "", "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": "a" * 65, "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": "a b", "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": "a\n", "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": "ä", "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": 1, "text": "x"}, ["client_msg_id"]),
    ({"client_msg_id": "a", "text": ""}, ["text"]),
    ({"client_msg_id": "a", "text": " \t\n\u3000"}, ["text"]),
    ({"client_msg_id": "a", "text": "x" * 8001}, ["text"]),
    ({"client_msg_id": "a", "text": "a\0b"}, ["text"]),
    ({"client_msg_id": "a", "text": "\ud800"}, ["text"]),
    ({"client_msg_id": "a", "text": "\udc00\ud800"}, ["text"]),
    ({"client_msg_id": "a", "text": None}, ["text"]),
    ({"client_msg_id": "a", "text": ["x"]}, ["text"]),
    ({"client_msg_id": "a", "text": "x", "root": 0}, ["root"]),
    ({"client_msg_id": "a", "text": "x", "root": "1"}, ["root"]),
    ({"client_msg_id": "a", "text": "x", "root": 2**64}, ["root"]),
    ({"client_msg_id": "a", "text": "x", "user": 1, "seq": 1}, ["user", "seq"]),
    ({"client_msg_id": "\ud800", "text": "\0", "root": -1, "at": 0}, ["client_msg_id", "text", "root", "at"]),
])
def test_a_message_that_cannot_be_is_blamed_field_by_field(bob, channel, body, blamed):
    assert bob.post(path(channel), body).blamed() == blamed
    assert bob.get(path(channel)).json()["messages"] == []


@pytest.mark.parametrize("text", ["x" * 8000, "😀" * 8000, "\u0300", "\u202e", "\x01", "\ufeffx", "\U0010ffff", "  x "])
def test_any_other_text_is_kept_as_it_is(bob, channel, text):
    sent = bob.send(channel, text)
    assert sent["text"] == text
    assert bob.get(path(channel)).json()["messages"][-1]["text"] == text


@one_engine
@pytest.mark.parametrize("raw", [
    b"", b"{", b"nonsense", b"{}{}", b'{"text": NaN}', b'{"text": Infinity}', b'{"text": "\xff"}',
    b'{"text": "\xed\xa0\x80"}', b"\xef\xbb\xbf{}", b"\0", b'{"text": "\0"}', b"[" * 60_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b'{"text":' + b"[" * 60_000, b'{"root": -}', b'{"root": 01}',
])
def test_what_is_no_json_is_refused_with_the_reason(bob, channel, raw):
    answer = bob.post(path(channel), raw=raw)
    assert answer.status == 400
    answer.problem()
    assert bob.get("/api/me").status == 200


@one_engine
@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"3", b"true", b"1e999", b'"\\ud800"'])
def test_a_body_is_an_object(bob, channel, raw):
    assert bob.post(path(channel), raw=raw).blamed() == [""]


@one_engine
@pytest.mark.parametrize("root", [b"1" + b"0" * 5000, b"-" + b"9" * 100_000, b"1e999", b"1.0", b"1e2", b"1E+400"])
def test_a_number_that_fits_no_field_is_blamed(bob, channel, root):
    assert bob.post(path(channel), raw=b'{"client_msg_id": "a", "text": "x", "root": %b}' % root).blamed() == ["root"]


@one_engine
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                                  "application/jsonp", "application/problem+json", "", "json"])
def test_a_body_is_json_or_it_is_not_read(bob, channel, kind):
    answer = bob.post(path(channel), {"client_msg_id": "a", "text": "x"}, headers={"Content-Type": kind})
    assert answer.status == 415
    answer.problem()


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"])
def test_json_is_json_with_parameters(bob, channel, kind):
    body = {"client_msg_id": new_name(), "text": "x"}
    assert bob.post(path(channel), body, headers={"Content-Type": kind}).status == 201


def test_a_thread_is_its_root_and_its_replies(bob, cy, channel):
    root = bob.send(channel, "root")
    replies = [cy.send(channel, f"reply {i}", root=root["id"]) for i in range(3)]
    said = bob.get(f"/api/messages/{root['id']}/thread").json()
    assert said == {"root": {**root, "replies": 3}, "messages": replies}
    page = bob.get(f"/api/messages/{root['id']}/thread?after={replies[0]['seq']}&limit=1").json()
    assert page["messages"] == replies[1:2]
    nested = {"client_msg_id": new_name(), "text": "x", "root": replies[0]["id"]}
    assert bob.post(path(channel), nested).blamed() == ["root"]
    foreign = {"client_msg_id": new_name(), "text": "x", "root": bob.send(bob.channel())["id"]}
    assert bob.post(path(channel), foreign).status in (404, 422)
    assert bob.get("/api/messages/999999/thread").status == 404


def test_history_is_paged_in_three_ways(bob, channel):
    sent = [bob.send(channel, str(i)) for i in range(10)]
    first = sent[0]["seq"]

    def page(query=""):
        said = bob.get(path(channel) + query).json()
        assert set(said) == {"messages", "head", "more_before", "more_after"}
        assert said["head"] == sent[-1]["seq"]
        return [int(message["text"]) for message in said["messages"]], said["more_before"], said["more_after"]

    assert page() == (list(range(10)), False, False)
    assert page("?limit=3") == ([7, 8, 9], True, False)
    assert page(f"?before={first + 5}&limit=2") == ([3, 4], True, True)
    assert page(f"?before={first}") == ([], False, True)
    assert page(f"?after={first + 5}&limit=2") == ([6, 7], True, True)
    assert page(f"?after={first + 9}") == ([], True, False)
    assert page("?after=0&limit=1") == ([0], False, True)
    assert page(f"?around={first + 5}&limit=3") == ([4, 5, 6], True, True)
    assert page(f"?after={2**63 - 1}") == ([], True, False)


@one_engine
@pytest.mark.parametrize(("query", "blamed"), [
    ("before=1&after=1", ["after"]), ("before=1&around=1&after=1", ["after", "around"]),
    ("before=1&before=1", ["before"]), ("before=-1", ["before"]), ("before=x", ["before"]), ("before=", ["before"]),
    ("before=1.5", ["before"]), ("before=+1", ["before"]), ("before=%D9%A3", ["before"]), ("before=1%00", ["before"]),
    (f"before={2**63}", ["before"]), ("limit=0", ["limit"]), ("limit=201", ["limit"]),
    ("limit=" + "9" * 400, ["limit"]), ("limit=5&limit=5", ["limit"]), ("offset=1", ["offset"]), ("=1", [""]),
    ("before=%ff", [""]),
    ("&".join(f"a{i}=1" for i in range(40)), [""]),
])
def test_a_query_that_cannot_be_is_blamed(bob, channel, query, blamed):
    assert bob.get(f"{path(channel)}?{query}").blamed() == blamed


def test_events_are_the_frames_that_sockets_get(bob, channel):
    sent = bob.send(channel, "ä")
    said = bob.get(path(channel, "events")).json()
    assert said["head"] == sent["seq"] == len(said["events"])
    assert [event["seq"] for event in said["events"]] == [1, 2, 3]
    assert said["events"][2] == {"type": "event", "channel": channel, "seq": 3, "kind": "message", "at": sent["at"],
                                 "actor": bob.id, "data": sent}
    assert [event["seq"] for event in bob.get(path(channel, "events?after=1&limit=1")).json()["events"]] == [2]
    assert bob.get(path(channel, "events?after=99")).json() == {"events": [], "head": 3}
    assert bob.get(path(channel, "events?limit=1001")).blamed() == ["limit"]


def test_an_edit_is_seen_and_only_the_author_edits(bob, cy, channel):
    sent = bob.send(channel, "before")
    one = f"/api/messages/{sent['id']}"
    assert cy.patch(one, {"text": "mine"}).status == 403
    edited = bob.patch(one, {"text": "behind"})
    assert edited.status == 200
    assert edited.json() == {**sent, "text": "behind", "edited_at": edited.json()["edited_at"]}
    assert edited.json()["edited_at"] >= sent["at"]
    assert cy.get(path(channel)).json()["messages"] == [edited.json()]
    for text in ("", " ", "a\0", "\ud800", "x" * 8001, None, 3):
        assert bob.patch(one, {"text": text}).blamed() == ["text"]
    assert bob.patch(one, {"text": "x", "root": None}).blamed() == ["root"]
    assert bob.patch("/api/messages/999999", {"text": "x"}).status == 404


def test_a_deleted_message_keeps_its_place(ann, bob, cy, channel):
    sent, other = bob.send(channel, "gone"), cy.send(channel, "gone too")
    assert ann.delete(f"/api/messages/{sent['id']}").status == 403
    assert cy.delete(f"/api/messages/{sent['id']}").status == 403
    answer = bob.delete(f"/api/messages/{sent['id']}")
    assert (answer.status, answer.body) == (204, b"")
    shown = cy.get(path(channel)).json()["messages"][0]
    assert (shown["id"], shown["seq"], shown["text"], shown["deleted"]) == (sent["id"], sent["seq"], "", True)
    # bob owns the channel
    assert bob.delete(f"/api/messages/{other['id']}").status == 204
    assert bob.patch(f"/api/messages/{sent['id']}", {"text": "x"}).status == 409


@pytest.mark.parametrize("emoji", ["👍", "❤️", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "1️⃣", "#️⃣", "👍🏽", "‼️", "↔️", "ℹ️", "🫠", "🩷"])
def test_any_emoji_is_a_reaction(bob, cy, channel, emoji):
    message = bob.send(channel)["id"]
    one = f"/api/messages/{message}/reactions/{quote(emoji)}"
    assert bob.put(one).json()["reactions"] == {emoji: [bob.id]}
    assert cy.put(one).json()["reactions"] == {emoji: [bob.id, cy.id]}
    assert cy.put(one).json()["reactions"] == {emoji: [bob.id, cy.id]}
    assert bob.delete(one).json()["reactions"] == {emoji: [cy.id]}
    assert cy.delete(one).json()["reactions"] == {}
    assert cy.delete(one).status == 200


@one_engine
@pytest.mark.parametrize("segment", ["abc", "1", "%ff", "%F0%9F", "%00", "%20", "%F0%9F%91%8Dx", "%EF%B8%8F",
                                     "%E2%80%8D",
                                     quote("👍" * 17), quote("a👍"), "%EF%BF%BD", "%3Cb%3E", "%2B", "%ED%A0%80",
                                     "12"])
def test_what_is_no_emoji_is_no_reaction(bob, channel, segment):
    message = bob.send(channel)["id"]
    assert bob.put(f"/api/messages/{message}/reactions/{segment}").blamed() == ["emoji"]
    assert bob.delete(f"/api/messages/{message}/reactions/{segment}").blamed() == ["emoji"]


def test_a_search_finds_ones_own_channels_only(bob, cy, ann, channel):
    word = f"zebra{new_name()}"
    mine = bob.send(channel, f"a {word} here")
    hidden = ann.send(ann.channel("private"), f"a {word} there")
    hits = bob.get(f"/api/search?q={word}").json()["hits"]
    assert hits == [mine]
    assert ann.get(f"/api/search?q={word}").json()["hits"] == [hidden]
    assert bob.get(f"/api/search?q={word}&from={cy.id}").json()["hits"] == []
    assert bob.get(f"/api/search?q={word}&channel={channel}&limit=1").json()["hits"] == [mine]
    assert bob.get(f"/api/search?q={word}&before={mine['id']}").json()["hits"] == []


@one_engine
@pytest.mark.parametrize(("query", "blamed"), [
    ("", ["q"]), ("q=x&limit=0", ["limit"]), ("q=x&channel=0", ["channel"]), ("q=%00", ["q"]),
    ("q=" + "x" * 201, ["q"]),
    ("q=x&user=1", ["user"]), ("q=x&q=y", ["q"]), ("q=x&from=me", ["from"]),
])
def test_a_search_that_cannot_be_is_blamed(bob, query, blamed):
    assert bob.get(f"/api/search?{query}").blamed() == blamed


@pytest.mark.parametrize("words", ['"', "a OR", "NEAR(", "*", "-x", "(", "a:b", "'; DROP TABLE users", "😀", "%", "_",
                                   "^a",
                                   "+a -b", "@@"])
def test_no_words_break_a_search(bob, channel, words):
    answer = bob.get(f"/api/search?q={quote(words)}")
    assert answer.status in (200, 422), answer.body


def test_sending_too_fast_is_told_when_to_go_on(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    config = msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, send=Rate(2, 60)))
    with serving(config) as api:
        ann, bob = api.person("ann"), api.person("bob")
        channel = ann.channel(members=[bob.id])
        sent = [ann.send(channel) for _ in range(4)]
        body = {"client_msg_id": "late", "text": "x"}
        answer = ann.post(f"/api/channels/{channel}/messages", body)
        assert answer.status == 429
        answer.problem()
        assert 1 <= int(answer.fields["retry-after"]) <= 30
        assert len(ann.get(f"/api/channels/{channel}/messages").json()["messages"]) == 4
        assert ann.put(f"/api/messages/{sent[0]['id']}/reactions/%F0%9F%91%8D").status == 429
        assert bob.send(channel)["seq"] == 7


def test_what_was_answered_is_published(api, bob, channel):
    with api.redis().pubsub() as heard:
        heard.subscribe(f"{api.config.redis.prefix}c:{channel}")
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        sent = bob.send(channel, "out")

        def is_heard():     # what was said before may be on its way still
            message = heard.get_message(timeout=0.1)
            return message is not None and json.loads(message["data"][40:])["data"] == sent

        wait_for(is_heard, "the message")
