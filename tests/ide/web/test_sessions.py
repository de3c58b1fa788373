from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hotpath.ide.web import sessions
from hotpath.ide.web.sessions import Failures, Sessions


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, token: str = "secret") -> Sessions:
    made = Sessions(folder / "sessions.json", now_s=clock)
    made.load(token)
    return made


def test_a_session_is_found_by_its_cookie_alone(tmp_path, clock):
    one = opened(tmp_path, clock)
    cookie, other = one.open(), one.open()
    found = one.find(cookie)
    assert found is not None
    assert found is not one.find(other)
    assert one.find(found.hash) is None
    assert one.find("") is None
    assert one.find("\udc80") is None


def test_sessions_outlive_the_server_and_only_hashes_are_kept(tmp_path, clock):
    before = opened(tmp_path, clock)
    cookie = before.open()
    before.save(before.facts())
    file = tmp_path / "sessions.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cookie not in file.read_text()
    assert opened(tmp_path, clock).find(cookie) is not None


def test_a_new_token_ends_all_sessions(tmp_path, clock):
    before = opened(tmp_path, clock)
    cookie = before.open()
    before.save(before.facts())
    assert opened(tmp_path, clock, "another").find(cookie) is None


def test_a_file_that_is_none_is_no_reason_not_to_start(tmp_path, clock):
    (tmp_path / "sessions.json").write_bytes(b"[[1,2")
    assert len(opened(tmp_path, clock)) == 0


def test_a_session_that_nobody_uses_ends(tmp_path, clock):
    one = opened(tmp_path, clock)
    cookie = one.open()
    clock.now_s += sessions.AGE_S - 1
    assert one.find(cookie) is not None
    clock.now_s += sessions.AGE_S - 1
    assert one.find(cookie) is not None
    clock.now_s += sessions.AGE_S
    assert one.find(cookie) is None


def test_uses_are_written_now_and_then(tmp_path, clock):
    one = opened(tmp_path, clock)
    cookie = one.open()
    one.facts()
    one.find(cookie)
    assert not one.dirty
    clock.now_s += sessions.NOTE_S
    one.find(cookie)
    assert one.dirty


def test_there_are_never_more_than_the_most(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(sessions, "MOST", 3)
    one = opened(tmp_path, clock)
    cookies = []
    for _ in range(5):
        clock.now_s += 1
        cookies.append(one.open())
    assert [one.find(cookie) is not None for cookie in cookies] == [False, False, True, True, True]


def test_the_end_of_a_session_closes_its_sockets(tmp_path, clock):
    one = opened(tmp_path, clock)
    session = one.find(one.open())
    assert session is not None
    closed: list[int] = []
    session.sockets |= {lambda: closed.append(1), lambda: closed.append(2)}
    one.close(session)
    assert sorted(closed) == [1, 2]
    assert len(one) == 0


def test_after_ten_failures_in_a_minute_one_waits(clock):
    failures = Failures(now_s=clock)
    for _ in range(sessions.FAILURES):
        assert failures.wait_s("192.0.2.1") == 0
        failures.note("192.0.2.1")
        clock.now_s += 1
    assert failures.wait_s("192.0.2.1") == 50
    assert failures.wait_s("192.0.2.2") == 0
    clock.now_s += 49.5
    assert failures.wait_s("192.0.2.1") == 1
    clock.now_s += 0.5
    assert failures.wait_s("192.0.2.1") == 0


def test_a_guesser_with_a_network_of_its_own_is_one(clock):
    failures = Failures(now_s=clock)
    for i in range(sessions.FAILURES):
        failures.note(f"2001:db8::{i + 1}")
    assert failures.wait_s("2001:db8::ffff") > 0
    assert failures.wait_s("2001:db8:0:1::1") == 0


def test_failures_of_many_are_bounded(clock, monkeypatch):
    monkeypatch.setattr(sessions, "ADDRESSES", 2)
    failures = Failures(now_s=clock)
    for _ in range(sessions.FAILURES):
        failures.note("192.0.2.1")
    failures.note("192.0.2.2")
    failures.note("192.0.2.3")
    assert failures.wait_s("192.0.2.1") == 0
