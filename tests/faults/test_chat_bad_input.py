"""Whatever one client sends, it gets the right answer, and the others do not notice."""
import itertools
import json
import zlib

import pytest

from hotpath.chat.auth import Ticket, sign_ticket
from hotpath.chat.auth import secret as our_secret
from tests import wsclient
from tests.chat.house import house, merged
from tests.chat.parts import ENGINES, real_parts
from tests.chat.someone import Someone, Tab, knock

CONFIG = {"limits": {"text": 8000, "body": "128k", "frame": "16k"}, "gateways": {"deflate": True}}
numbers = itertools.count(1)


def spelled(value):
    """A test's id, in ASCII and short."""
    return ascii(value)[:40]


@pytest.fixture(scope="module", params=ENGINES)
def home(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    with real_parts(request.param, folder) as parts, house(folder, merged(parts.config, CONFIG)) as home:
        yield home


class Scene:
    """An admin, a member with an open tab, and an outsider."""

    def __init__(self, home):
        self.home = home
        n = next(numbers)
        self.alice, self.bob, self.eve = (Someone(home.url, f"{name}{n}") for name in ("alice", "bob", "eve"))
        self.channel = self.alice.ask("POST", "/api/channels", {
            "name": f"room{n}", "kind": "public", "members": [self.bob.id]}).json["id"]
        self.private = self.alice.ask("POST", "/api/channels", {
            "name": f"secret{n}", "kind": "private", "members": [self.bob.id]}).json["id"]
        self.tab = self.bob.tab()
        self.tab.start()

    def post(self, text="well?"):
        answer = self.alice.post(self.channel, text, f"n{next(numbers)}")
        assert answer.status == 201, answer
        return answer.json

    def is_well(self):
        """The member's tab gets what is sent now."""
        message = self.post()
        assert self.tab.until("event", channel=self.channel, seq=message["seq"])["data"] == message


@pytest.fixture(scope="module")
def scene(home):
    scene = Scene(home)
    yield scene
    scene.tab.close()


@pytest.fixture(autouse=True)
def others_do_not_notice(request):
    yield
    if "scene" in request.fixturenames:
        request.getfixturevalue("scene").is_well()


# ---- tickets


def forged(home, ticket, *, secret=None, **changes):
    """The ticket with other claims, signed with our secret or with another one."""
    _, user, session, gateway, boot, expires_ms, serial, _ = ticket.split(".")
    claims = {"user": int(user), "session": int(session), "gateway": gateway, "boot": boot,
              "expires_ms": int(expires_ms), "serial": serial}
    return sign_ticket(secret or our_secret(home.data), Ticket(**claims | changes))


@pytest.mark.parametrize("change", [
    {"secret": b"guessed" * 5}, {"expires_ms": 1}, {"boot": "0123456789abcdef"}, {"gateway": "g9"}], ids=spelled)
def test_a_forged_an_old_and_a_foreign_ticket_are_refused_before_the_upgrade(scene, change):
    address, target, _ = scene.bob.ticket()
    path, _, ticket = target.partition("?ticket=")
    assert knock(address, f"{path}?ticket={forged(scene.home, ticket, serial=f'a{next(numbers)}', **change)}") == 401
    assert knock(address, f"{path}?ticket={forged(scene.home, ticket, serial=f'b{next(numbers)}')}") == 101


@pytest.mark.parametrize("change", [
    lambda ticket: "", lambda ticket: "x", lambda ticket: ticket[:-1], lambda ticket: ticket + "A",
    lambda ticket: ticket[:3] + ("A" if ticket[3] != "A" else "B") + ticket[4:], lambda ticket: "%00" * 10,
    lambda ticket: "." * 5, lambda ticket: "A" * 4000, lambda ticket: "%F0%9F%98%80.%ff"],
    ids=["empty", "short", "cut", "longer", "another letter", "zeros", "dots", "long", "no ASCII"])
def test_a_ticket_that_is_not_ours_is_refused_before_the_upgrade(scene, change):
    address, target, _ = scene.bob.ticket()
    path, _, ticket = target.partition("?ticket=")
    assert knock(address, f"{path}?ticket={change(ticket)}") == 401


def test_no_ticket_is_refused(scene):
    address, target, _ = scene.bob.ticket()
    assert knock(address, target.partition("?")[0]) == 401


def test_a_ticket_is_good_once(scene):
    address, target, _ = scene.bob.ticket()
    with wsclient.Client(address) as client:
        client.open(target, host=address)
        assert knock(address, target) == 401


def test_a_ticket_of_another_gateway_is_refused(scene):
    address, target, name = scene.bob.ticket()
    other = next(row for row in scene.home.run["gateways"] if row["id"] != name)
    assert knock(other["url"].removeprefix("ws://").partition("/")[0], target) == 401
    assert knock(address, target) == 101


def test_a_ticket_ends_with_its_session(scene):
    someone = Someone(scene.home.url, f"gone{next(numbers)}")
    address, target, _ = someone.ticket()
    assert someone.ask("POST", "/api/logout", {}).status == 204
    with wsclient.Client(address) as client:
        client.send(wsclient.handshake(target, host=address))
        head = client.read_head()
        assert head.status == 401 or wsclient.close_code(client.read_to_close()[1]) == 4001


@pytest.mark.parametrize("origin", [
    "https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"], ids=spelled)
def test_a_foreign_origin_is_refused_before_the_upgrade(scene, origin):
    address, target, _ = scene.bob.ticket()
    assert knock(address, target, ("Origin", origin)) == 403


def test_our_own_origin_is_welcome(scene):
    address, target, _ = scene.bob.ticket()
    assert knock(address, target, ("Origin", scene.home.url)) == 101


def test_another_version_is_told_so(scene):
    address, target, _ = scene.bob.ticket()
    assert knock(address, target, ("Sec-WebSocket-Version", "8"), drop=("Sec-WebSocket-Version",)) == 426


# ---- frames


def text(data):
    return wsclient.frame(wsclient.TEXT, data)


BOMB = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB_BYTES = (BOMB.compress(b" " * (64 << 20)) + BOMB.flush(zlib.Z_SYNC_FLUSH)).removesuffix(wsclient.FLUSH_TAIL)


@pytest.mark.parametrize(("data", "code"), [
    (wsclient.frame(wsclient.BINARY, b"{}"), 1003),
    (wsclient.frame_head(wsclient.TEXT, 1 << 40), 1009),
    (wsclient.frame_head(wsclient.TEXT, 17 * 1024), 1009),
    (b"".join(wsclient.fragments(wsclient.TEXT, [b" " * 9000, b" " * 9000])), 1009),
    (wsclient.frame(wsclient.TEXT, b"{}", mask=None), 1002),
    (wsclient.frame(3, b"{}"), 1002),
    (wsclient.frame(wsclient.TEXT, b"{}", rsv=wsclient.RSV2), 1002),
    (wsclient.frame(wsclient.PING, b"x" * 126), 1002),
    (wsclient.frame(wsclient.PING, b"x", fin=False), 1002),
    (wsclient.frame(wsclient.CONTINUATION, b"{}"), 1002),
    (wsclient.close_frame(1006), 1002),
    (wsclient.frame(wsclient.CLOSE, b"\3"), 1002),
    (text(b'{"type": "\xff"}'), 1007),
    (text(b'"\xed\xa0\x80"'), 1007),
    (text(b"not json"), 4000),
    (text(b""), 4000),
    (text(b"{" * 5000), 4000),
    (text(b'{"type": "start"} trailing'), 4000),
], ids=spelled)
@pytest.mark.parametrize("is_started", [False, True], ids=spelled)
def test_a_broken_frame_closes_with_its_code(scene, data, code, is_started):
    with scene.eve.tab() as tab:
        if is_started:
            tab.start()
        tab.send(data)
        assert tab.closed_with() == code


def test_a_frame_that_says_start_twice_is_the_last(scene):
    with scene.eve.tab() as tab:
        tab.start()
        tab.say({"type": "start", "epoch": None, "since": {}})
        assert tab.closed_with() == 4000


def test_a_bomb_does_not_go_off(scene):
    with scene.eve.tab(extensions="permessage-deflate") as tab:
        tab.start()
        tab.send(wsclient.frame(wsclient.TEXT, BOMB_BYTES[:16_000], rsv=wsclient.RSV1))
        # Where nothing compressed was agreed on, such a frame breaks the protocol.
        assert tab.closed_with() == (1009 if tab.deflate else 1002)


@pytest.mark.parametrize("frame", [
    {"type": "nonsense"}, {"kind": "start"}, {"type": 7}, {"type": None}, {"type": "typing"},
    {"type": "typing", "channel": "1"}, {"type": "typing", "channel": -1}, {"type": "typing", "channel": 10**30},
    {"type": "typing", "channel": 999_999}, {"type": "watch"}, {"type": "watch", "users": "all"},
    {"type": "watch", "users": list(range(1, 202))}, {"type": "watch", "users": [None]}, {"type": "state"},
    {"type": "state", "state": "busy"}, {"type": "ping", "id": "x"}, [], 7, "start", None], ids=spelled)
def test_a_frame_that_cannot_be_is_named_and_the_socket_stays(scene, frame):
    with scene.bob.tab() as tab:
        tab.start()
        tab.say(frame)
        tab.say({"type": "ping", "id": 77})
        got = [tab.frame()]
        while got[-1]["type"] != "pong":
            got.append(tab.frame())
        assert any(row["type"] == "error" and row["code"] and row["detail"] for row in got), got


@pytest.mark.parametrize("since", [
    {"x": 1}, {"1": -1}, {"1": "2"}, {"1": 2**70}, {"-1": 1}, {"1": None}, [], "all", 7], ids=spelled)
def test_a_start_that_cannot_be_leaks_nothing(scene, since):
    with scene.eve.tab() as tab:
        tab.say({"type": "start", "epoch": None, "since": since})
        event = tab.read()
        assert event.kind == "close" or json.loads(event.payload)["type"] in ("error", "ready"), event


def test_a_stranger_hears_nothing_of_channels_it_asks_for(scene):
    with scene.eve.tab() as tab:
        ready = tab.start(**{str(scene.channel): 0, str(scene.private): 0})
        assert ready["channels"] == []
        scene.post()
        tab.say({"type": "typing", "channel": scene.private})
        tab.say({"type": "ping", "id": 1})
        while (frame := tab.frame())["type"] != "pong":
            assert frame["type"] != "event", frame
    with scene.bob.tab() as tab:
        tab.start()
        tab.say({"type": "ping", "id": 2})
        while (frame := tab.frame())["type"] != "pong":
            assert frame["type"] != "typing" or frame["user"] != scene.eve.id


@pytest.mark.parametrize("home", ENGINES[:1], indirect=True)      # no engine hears of them
def test_who_never_starts_is_closed(scene):
    # Ten seconds of somebody's silence; also of one whose start comes byte by byte, and of half a handshake.
    address, target, _ = scene.eve.ticket()
    with scene.eve.tab() as silent, scene.eve.tab() as slow, wsclient.Client(address) as half:
        half.send(wsclient.handshake(target, host=address)[:-10])
        slow.drip(text(b'{"type":"start","epoch":null,"since":{}}')[:20])
        scene.is_well()
        assert silent.closed_with() == 4002
        assert slow.closed_with() == 4002


def test_who_floods_is_closed(scene):
    with scene.eve.tab() as tab:
        tab.start()
        tab.send(text(b'{"type":"ping","id":1}') * 500)
        assert tab.closed_with() == 4029


# ---- HTTP


@pytest.mark.parametrize("words", [
    "'; DROP TABLE messages; --", "<script>alert(1)</script>", "\\", '"', "%s %d ?", "a\u0301", "\U0001f600" * 4000,
    "x" * 8000, "line\nline\ttab", "\u202eright", "\x7f\x01", "&amp;"], ids=spelled)
def test_a_text_comes_out_as_it_went_in(scene, words):
    message = scene.post(words)
    assert message["text"] == words
    assert scene.tab.until("event", channel=scene.channel, seq=message["seq"])["data"]["text"] == words
    page = scene.bob.ask("GET", f"/api/channels/{scene.channel}/messages?limit=1").json
    assert [row["text"] for row in page["messages"]] == [words]


@pytest.mark.parametrize(("body", "status"), [
    (b"", 400), (b"{", 400), (b"\xff", 400), (b"[]", 422), (b"null", 422), (b'"x"', 422), (b"{}", 422),
    ({"client_msg_id": "a"}, 422), ({"client_msg_id": "a", "text": 7}, 422),
    ({"client_msg_id": "a", "text": None}, 422),
    ({"client_msg_id": "a", "text": ""}, 422), ({"client_msg_id": "a", "text": " \n\t"}, 422),
    ({"client_msg_id": "a", "text": "nul\0"}, 422), (b'{"client_msg_id": "a", "text": "\\ud800"}', (400, 422)),
    ({"client_msg_id": "a", "text": "x" * 8001}, 422), ({"client_msg_id": "", "text": "x"}, 422),
    ({"client_msg_id": "a b", "text": "x"}, 422), ({"client_msg_id": "a" * 65, "text": "x"}, 422),
    ({"client_msg_id": 7, "text": "x"}, 422), ({"client_msg_id": "a", "text": "x", "more": 1}, 422),
    ({"client_msg_id": "a", "text": "x", "root": "1"}, 422),
    ({"client_msg_id": "a", "text": "x", "root": -1}, (404, 422)),
    ({"client_msg_id": "a", "text": "x", "root": 10**30}, (404, 422)),
    ({"client_msg_id": "a", "text": "x", "root": 999_999_999}, (404, 422)),
    (json.dumps({"client_msg_id": "a", "text": "x" * 140_000}).encode(), 413),
    (b"[" * 100_000, (400, 422)),
], ids=spelled)
def test_a_message_that_cannot_be_is_refused_with_the_reason(scene, body, status):
    before = scene.bob.ask("GET", f"/api/channels/{scene.channel}/messages?limit=1").json["head"]
    answer = scene.alice.ask("POST", f"/api/channels/{scene.channel}/messages", body)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.headers["content-type"] == "application/problem+json", answer
    problem = answer.json
    assert problem["status"] == answer.status
    if answer.status == 422:
        assert problem["errors"], problem
        assert all(row["field"] is not None and row["what"] for row in problem["errors"]), problem
    assert scene.bob.ask("GET", f"/api/channels/{scene.channel}/messages?limit=1").json["head"] == before


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/api/channels/{c}/messages?limit=0", 422), ("GET", "/api/channels/{c}/messages?limit=201", 422),
    ("GET", "/api/channels/{c}/messages?limit=x", 422), ("GET", "/api/channels/{c}/messages?before=1&after=1", 422),
    ("GET", f"/api/channels/{{c}}/messages?after={2**70}", 422), ("GET", "/api/channels/{c}/messages?nonsense=1", 422),
    ("GET", "/api/channels/{c}/messages?after=-1", 422), ("GET", "/api/channels/{c}/events?limit=1001", 422),
    ("GET", "/api/channels/999999/messages", 404), ("GET", f"/api/channels/{2**70}/messages", (404, 422)),
    ("GET", "/api/channels/x/messages", 404), ("GET", "/api/channels/-1/messages", 404),
    ("GET", "/api/nothing", 404), ("DELETE", "/api/channels/{c}/messages", 405), ("PUT", "/api/login", 405),
    ("GET", "/api/search", 422), ("GET", "/api/channels?scope=all", 422), ("GET", "/../../etc/passwd", (400, 404)),
    ("GET", "/page/..%2f..%2fconfig.py", (400, 404)),
], ids=spelled)
def test_a_request_that_cannot_be_is_refused(scene, method, path, status):
    answer = scene.alice.ask(method, path.format(c=scene.channel))
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.headers["content-type"] == "application/problem+json", answer
    if answer.status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("words", ["%22", "*", "a%22%20OR%20b", "'%20OR%201=1%20--", "NEAR(", "%25", "_", "-x", "%2Bx",
                                   "%3C%3E", "a" * 500, "@", "%F0%9F%98%80", "AND", "x%20NOT"], ids=spelled)
def test_no_search_is_a_mistake_of_ours(scene, words):
    answer = scene.bob.ask("GET", f"/api/search?q={words}")
    assert answer.status in (200, 422), answer


def test_who_may_not_is_told_what_the_channel_allows(scene):
    eve = scene.eve
    for method, path, body in (("GET", "messages", None), ("GET", "events", None),
                               ("POST", "messages", {"client_msg_id": "x", "text": "x"}), ("PUT", "read", {"seq": 1})):
        assert eve.ask(method, f"/api/channels/{scene.channel}/{path}", body).status == 403
        assert eve.ask(method, f"/api/channels/{scene.private}/{path}", body).status == 404
    assert eve.ask("DELETE", f"/api/channels/{scene.private}", {}).status == 404
    assert eve.ask("PUT", f"/api/channels/{scene.private}/members/{eve.id}", {}).status == 404
    message = scene.post()
    assert eve.ask("PATCH", f"/api/messages/{message['id']}", {"text": "mine"}).status == 403
    assert scene.bob.ask("PATCH", f"/api/messages/{message['id']}", {"text": "mine"}).status == 403
    assert scene.bob.ask("DELETE", f"/api/messages/{message['id']}").status == 403


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "' OR '1'='1", "\xff"], ids=spelled)
def test_a_session_that_is_not_ours_is_none(scene, token):
    answer = scene.eve.ask("GET", "/api/me", Authorization=f"Bearer {token}")
    assert answer.status == 401, answer
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_write_by_cookie_from_a_foreign_page_is_refused(scene):
    cookie = f"hp_session={scene.alice.token}"
    body = {"client_msg_id": f"n{next(numbers)}", "text": "x"}
    path = f"/api/channels/{scene.channel}/messages"
    ask = scene.alice.ask
    assert ask("POST", path, body, Authorization=None, Cookie=cookie, Origin="https://evil.example").status == 403
    assert ask("POST", path, body, Authorization=None, Cookie=cookie, Origin="null").status == 403
    assert ask("POST", path, body, Authorization=None, Cookie=cookie, Origin=scene.home.url).status == 201


def test_a_body_of_another_type_is_refused(scene):
    path = f"/api/channels/{scene.channel}/messages"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert scene.alice.ask("POST", path, b'{"client_msg_id": "a", "text": "x"}', Content_Type=kind).status == 415


def test_an_id_used_for_other_content_is_a_conflict(scene):
    cmid = f"n{next(numbers)}"
    first = scene.alice.post(scene.channel, "one", cmid)
    assert first.status == 201
    again = scene.alice.post(scene.channel, "one", cmid)
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    assert scene.alice.post(scene.channel, "other", cmid).status == 409
    assert scene.alice.post(scene.private, "one", cmid).status == 409
    assert scene.bob.post(scene.channel, "one", cmid).status == 201


# ---- limits


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    limits = {"limits": {"send": "1/m", "login": "2/m", "connect": "3/m", "sockets_per_user": 2},
              # Of two, one would close what is too many over both while we still open more; tests of the roll call do.
              "gateways": {"count": 1}}
    with house(tmp_path_factory.mktemp("strict"), limits) as home:
        yield home


def until_refused(ask, allowed):
    """The first answer that is not `allowed`, and how many were; it must come soon."""
    for n in range(100):
        answer = ask(n)
        if answer.status not in allowed:
            assert answer.status == 429, answer
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/problem+json"
            return n
    raise AssertionError("nobody was limited")


def test_a_limit_is_told_with_when_to_come_again(strict):
    someone, other = Someone(strict.url, "quick"), Someone(strict.url, "calm")
    channel = someone.ask("POST", "/api/channels", {"name": "all", "kind": "public", "members": [other.id]}).json["id"]
    assert until_refused(lambda n: someone.post(channel, f"{n}", f"m{n}"), (201,)) == 2     # twice the rate
    assert other.post(channel, "mine", "m0").status == 201, "one's limit is not another's"
    assert until_refused(lambda n: someone.ask("POST", "/api/connect", {}), (200,)) == 6
    wrong = {"name": "calm", "password": "wrong word"}
    assert until_refused(lambda n: other.ask("POST", "/api/login", wrong), (401,)) == 3     # one was the right one


def test_one_socket_too_many_is_closed(strict):
    someone = Someone(strict.url, "wide")
    tabs, codes = [], {}
    try:
        for _ in range(5):
            address, target, gateway = someone.ticket()
            tab = Tab(address)
            tabs.append(tab)
            tab.open(target, host=address)
            event = tab.read()
            codes.setdefault(gateway, []).append(wsclient.close_code(event.payload) if event.kind == "close" else 0)
        assert codes == {"g1": [0, 0, 4009, 4009, 4009]}
    finally:
        for tab in tabs:
            tab.close()
