"""Accounts and sessions: the first is admin, names are taken once, an end is an end."""
import pytest

from hotpath.chat.store import (
    ChangeUser,
    CreateSession,
    CreateUser,
    DeactivateUser,
    EndSession,
    Join,
    Notice,
    PostMessage,
    Refused,
)
from hotpath.chat.store.users import MAX_SESSIONS

LATER = 2**45


def test_the_first_user_ever_is_admin(world):
    ann = world.do(CreateUser("ann", "", "hash-a", open=False))
    ben = world.do(CreateUser("ben", "Ben B.", "hash-b"))
    assert ann == {"id": ann["id"], "name": "ann", "display": "ann", "admin": True, "active": True}
    assert ben == {"id": ben["id"], "name": "ben", "display": "Ben B.", "admin": False, "active": True}
    assert world.reader.login_row("ben") == (ben, "hash-b")
    assert world.reader.login_row("Ben") is None
    assert world.reader.user(ann["id"]) == ann


def test_a_name_is_taken_once(world):
    world.user("ann")
    assert world.refused(CreateUser("ann", "", "x")) == 409
    first, second, third = world.together(*(CreateUser("ben", "", "x") for _ in range(3)))
    assert first["name"] == "ben"
    assert [second.status, third.status] == [409, 409]
    assert len(world.reader.users()) == 2


def test_registration_by_admins_only(world):
    admin = world.do(CreateUser("root", "", "x", open=False))["id"]
    ben = world.do(CreateUser("ben", "", "x", by=admin, open=False))["id"]
    assert world.refused(CreateUser("cat", "", "x", open=False)) == 403
    assert world.refused(CreateUser("cat", "", "x", by=ben, open=False)) == 403
    world.do(DeactivateUser(admin, admin))
    assert world.refused(CreateUser("cat", "", "x", by=admin, open=False)) == 403


def test_users_are_listed_by_prefix_and_page(world):
    for name in ("anna", "anton", "a_b", "a%c", "ben"):
        world.user(name)
    names = lambda *args, **kwargs: [user["name"] for user in world.reader.users(*args, **kwargs)]  # noqa: E731
    assert names() == ["anna", "anton", "a_b", "a%c", "ben"]
    assert names("an") == ["anna", "anton"]
    assert names("a_") == ["a_b"]
    assert names("a%") == ["a%c"]
    assert names("!") == []
    assert names("A") == []
    first = world.reader.users(limit=2)
    assert names(after=first[-1]["id"], limit=2) == ["a_b", "a%c"]


def test_one_changes_oneself_and_an_admin_everybody(world):
    admin, ben, cat = world.user("root"), world.user("ben"), world.user("cat")
    assert world.do(ChangeUser(ben, ben, display="B"))["display"] == "B"
    assert world.do(ChangeUser(admin, ben, display="BB"))["display"] == "BB"
    assert world.do(ChangeUser(ben, ben, display=""))["display"] == "ben"
    assert world.refused(ChangeUser(cat, ben, display="x")) == 403
    assert world.refused(ChangeUser(admin, 999, display="x")) == 404
    assert world.do(ChangeUser(ben, ben, password_hash="new"))["name"] == "ben"
    assert world.reader.login_row("ben")[1] == "new"


def test_a_new_password_ends_the_other_sessions(world):
    ben = world.user("ben")
    sessions = [world.do(CreateSession(ben, bytes([n]) * 32, LATER)) for n in range(3)]
    world.do(ChangeUser(ben, ben, password_hash="new", keep_session=sessions[1]))
    assert world.reader.sessions_alive(sessions) == {sessions[1]: ben}
    assert [notice.body for notice in world.notices] == [{"session_over": sessions[0]}, {"session_over": sessions[2]}]


def test_a_session_ends_by_logout_and_by_time(world):
    ben = world.user("ben")
    first, second = (world.do(CreateSession(ben, token * 32, world.now_ms + 1000)) for token in (b"a", b"\0"))
    assert world.reader.session(b"a" * 32) == (first, world.reader.user(ben), world.now_ms + 1000)
    assert world.reader.session(b"A" * 32) is None
    assert world.reader.session(b"\0" * 32)[0] == second
    world.do(EndSession(first))
    world.do(EndSession(first))
    assert world.reader.session(b"a" * 32) is None
    assert world.notices == [Notice(ben, {"session_over": first})]
    assert world.reader.sessions_alive([first, second, 999]) == {second: ben}
    world.now_ms += 1000
    assert world.reader.session(b"\0" * 32) is None
    assert world.reader.sessions_alive([second]) == {}
    world.do(CreateSession(ben, b"c" * 32, world.now_ms + 1))
    assert world.all("SELECT COUNT(*) FROM sessions") == [(1,)]


def test_an_account_has_a_bounded_number_of_sessions(world):
    ben = world.user("ben")
    sessions = world.together(*(CreateSession(ben, n.to_bytes(32, "big"), LATER) for n in range(1, MAX_SESSIONS + 3)))
    alive = world.reader.sessions_alive(sessions)
    assert [session in alive for session in sessions] == [False, False, *[True] * MAX_SESSIONS]
    assert [notice.body["session_over"] for notice in world.notices] == sessions[:2]


def test_a_deactivated_account_can_do_nothing(world):
    admin, ben, cat = world.user("root"), world.user("ben"), world.user("cat")
    channel = world.channel(ben, admin)
    session = world.do(CreateSession(ben, b"a" * 32, LATER))
    assert world.refused(DeactivateUser(cat, ben)) == 403
    world.do(DeactivateUser(admin, ben))
    world.do(DeactivateUser(admin, ben))
    assert Notice(ben, {"session_over": session}) in world.notices
    assert world.reader.session(b"a" * 32) is None
    assert not world.reader.user(ben)["active"]
    for operation in (PostMessage(ben, channel, "1", "x"), CreateSession(ben, b"b" * 32, LATER),
                      DeactivateUser(ben, ben), ChangeUser(ben, ben, display="x")):
        assert world.refused(operation) == 403
    assert world.refused(ChangeUser(admin, ben, display="x")) == 409
    assert world.refused(Join(admin, channel, 999)) == 404
    assert world.refused(CreateUser("ben", "", "x")) == 409
    other = world.channel(cat)
    assert world.refused(Join(cat, other, ben)) == 404


def test_who_is_not_there(world):
    with pytest.raises(Refused) as refused:
        world.reader.user(7)
    assert refused.value.status == 404
    assert world.refused(CreateSession(7, b"a" * 32, LATER)) == 403
