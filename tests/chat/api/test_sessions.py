"""Who asks, and for how long that is remembered."""
import pytest
from flask import Flask, request

from hotpath.chat.api.problems import Refusal
from hotpath.chat.api.sessions import CACHE_S, MAX_CACHED, MAX_TOKEN, Sessions, cookie, cookie_of, token_of
from hotpath.chat.config import ChatConfig

app = Flask(__name__)
USER = {"id": 7, "name": "ann", "admin": False}


class Store:
    def __init__(self):
        self.rows = {}
        self.n_asked = 0
        self.meanwhile = lambda: None

    def lookup(self, token_hash):
        self.n_asked += 1
        found = self.rows.get(token_hash)
        self.meanwhile()
        return found


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def sessions(store):
    made = Sessions(store.lookup, frozenset({"http://us"}), clock=lambda: made.now_s, wall=lambda: made.now_s)
    made.now_s = 1000.0
    return made


def open_session(store, token, session=1, expires_ms=2_000_000):
    from hotpath.chat.auth import token_hash
    store.rows[token_hash(token)] = (session, USER, expires_ms)


def ask(sessions, token):
    with app.test_request_context(headers={"Authorization": f"Bearer {token}"}):
        return sessions.optional()


def test_a_session_is_looked_up_once_a_second(sessions, store):
    open_session(store, "t")
    for _ in range(10):
        assert ask(sessions, "t").id == 7
    assert store.n_asked == 1
    sessions.now_s += CACHE_S
    assert ask(sessions, "t").id == 7
    assert store.n_asked == 2


def test_a_session_that_is_over_elsewhere_is_over_here_within_a_second(sessions, store):
    open_session(store, "t")
    assert ask(sessions, "t")
    store.rows.clear()
    assert ask(sessions, "t")
    sessions.now_s += CACHE_S
    assert ask(sessions, "t") is None


def test_a_session_that_is_dropped_is_looked_up_at_once(sessions, store):
    open_session(store, "t", session=5)
    for drop in ({"session": 5}, {"user": 7}):
        ask(sessions, "t")
        asked = store.n_asked
        sessions.drop(**drop)
        assert ask(sessions, "t")
        assert store.n_asked == asked + 1
    sessions.drop(session=6)
    sessions.drop(user=8)
    ask(sessions, "t")
    assert store.n_asked == 3


def test_what_was_read_before_a_logout_is_not_remembered_behind_it(sessions, store):
    open_session(store, "t", session=5)
    store.meanwhile = lambda: sessions.drop(session=5)
    assert ask(sessions, "t")       # it was asked before the logout
    store.meanwhile = lambda: None
    store.rows.clear()
    assert ask(sessions, "t") is None


def test_a_session_ends_at_its_time_even_while_it_is_remembered(sessions, store):
    open_session(store, "t", expires_ms=1_000_500)
    assert ask(sessions, "t")
    sessions.now_s += 0.5
    assert ask(sessions, "t") is None


def test_what_is_no_session_is_not_remembered(sessions, store):
    for i in range(10):
        assert ask(sessions, f"t{i}") is None
    assert len(sessions) == 0
    assert store.n_asked == 10


def test_what_is_remembered_is_bounded(sessions, store, monkeypatch):
    monkeypatch.setattr("hotpath.chat.api.sessions.MAX_CACHED", 10)
    assert MAX_CACHED > 1000
    for i in range(35):
        open_session(store, f"t{i}")
        ask(sessions, f"t{i}")
    assert len(sessions) <= 10


def test_who_is_no_admin_is_told_so(sessions, store):
    open_session(store, "t")
    with app.test_request_context(headers={"Authorization": "Bearer t"}), pytest.raises(Refusal) as caught:
        sessions.admin()
    assert caught.value.status == 403


@pytest.mark.parametrize(("header", "token"), [
    ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Bearer", None), ("Basic abc", None), ("", None),
    ("Bearer " + "x" * (MAX_TOKEN + 1), None),
])
def test_a_token_in_the_header(header, token):
    assert token_of({"HTTP_AUTHORIZATION": header, "HTTP_COOKIE": "hp_session=other"}) == token


@pytest.mark.parametrize(("header", "token"), [
    ("hp_session=abc", "abc"), ("a=b; hp_session=abc; c=d", "abc"), ("hp_session=first; hp_session=second", "first"),
    ("xhp_session=abc", None), ("hp_session", None), ("hp_session=", None), ("hp_session =abc", "abc"), ("", None),
    ("hp_session=" + "x" * (MAX_TOKEN + 1), None),
])
def test_a_token_in_the_cookie(header, token):
    assert cookie_of({"HTTP_COOKIE": header}) == token


@pytest.mark.parametrize(("method", "headers", "refused"), [
    ("POST", {"Cookie": "hp_session=t", "Origin": "http://evil"}, True),
    ("POST", {"Cookie": "hp_session=t", "Origin": "HTTP://US"}, False),
    ("POST", {"Cookie": "hp_session=t"}, False),
    ("POST", {"Cookie": "other=hp_session", "Origin": "http://evil"}, False),
    ("POST", {"Authorization": "Bearer t", "Cookie": "hp_session=t", "Origin": "http://evil"}, True),
    ("GET", {"Cookie": "hp_session=t", "Origin": "http://evil"}, False),
    ("DELETE", {"Cookie": "hp_session=t", "Origin": "null"}, True),
    ("BREW", {"Cookie": "hp_session=t", "Origin": "http://evil"}, True),
])
def test_a_foreign_page_does_not_write_with_the_cookie(sessions, method, headers, refused):
    with app.test_request_context(method=method, headers=headers):
        assert request.method == method
        if refused:
            with pytest.raises(Refusal) as caught:
                sessions.check_origin()
            assert caught.value.status == 403
        else:
            sessions.check_origin()


def test_a_cookie_is_for_us_alone():
    assert cookie("t", max_age_s=5, is_secure=False) == "hp_session=t; Path=/; Max-Age=5; HttpOnly; SameSite=Lax"
    assert cookie("t", max_age_s=5, is_secure=True).endswith("; Secure")


def test_behind_a_prefix_the_cookie_is_for_what_is_below_it():
    assert "; Path=/chat; " in cookie("t", max_age_s=5, is_secure=False, path="/chat")
    for url, path in ((None, "/"), ("http://h:1", "/"), ("http://h/", "/"), ("https://h/chat/", "/chat")):
        assert ChatConfig(public_url=url).public_path == path
