"""Accounts, logins, logouts."""
import json
import re
import time

import msgspec
import pytest

from hotpath.chat.store import Database
from hotpath.core.config import Rate
from tests.chat.api.serving import PASSWORD, log_in, make_config, new_name, one_engine, serving
from tests.waiting import wait_for


def test_who_makes_an_account_is_shown_it(api):
    name = new_name()
    answer = api.caller().post("/api/users", {"name": name, "password": PASSWORD, "display": "Än 😀 n"})
    assert answer.status == 201
    user = answer.json()
    assert user == {"id": user["id"], "name": name, "display": "Än 😀 n", "admin": False, "active": True}


def test_without_a_display_name_it_is_the_name(api):
    name = new_name()
    assert api.caller().post("/api/users", {"name": name, "password": PASSWORD}).json()["display"] == name


def test_the_first_account_ever_is_an_admin(ann, bob):
    assert ann.user["admin"] is True
    assert bob.user["admin"] is False


def test_a_name_is_taken_once(api, bob):
    answer = api.caller().post("/api/users", {"name": bob.user["name"], "password": PASSWORD})
    assert answer.status == 409
    answer.problem()


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({}, ["name", "password"]),
    ({"name": "ok.name"}, ["password"]),
    ({"name": "x", "password": PASSWORD}, ["name"]),
    ({"name": "a" * 33, "password": PASSWORD}, ["name"]),
    ({"name": "Upper", "password": PASSWORD}, ["name"]),
    ({"name": "-dash", "password": PASSWORD}, ["name"]),
    ({"name": "line\n", "password": PASSWORD}, ["name"]),
    ({"name": "nul\0", "password": PASSWORD}, ["name"]),
    ({"name": "ünï", "password": PASSWORD}, ["name"]),
    ({"name": 3, "password": None}, ["name", "password"]),
    ({"name": "ok.name", "password": "short77"}, ["password"]),
    ({"name": "ok.name", "password": "x" * 257}, ["password"]),
    ({"name": "ok.name", "password": "nul\0nul\0nul"}, ["password"]),
    ({"name": "ok.name", "password": PASSWORD, "display": ""}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "  "}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "x" * 81}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "a\nb"}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "a\0b"}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "\x1b[2J"}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "display": "\ud800"}, ["display"]),
    ({"name": "ok.name", "password": PASSWORD, "admin": True}, ["admin"]),
    ({"name": "ok.name", "password": PASSWORD, "\ud800": 1}, ["?"]),
])
def test_an_account_that_cannot_be_is_blamed_field_by_field(api, body, blamed):
    assert api.caller().post("/api/users", body).blamed() == blamed


def test_names_and_passwords_of_every_allowed_length_work(api):
    for name, password in (("a" * 32, "8" * 8), ("0-", "ü" * 256)):
        assert api.caller().post("/api/users", {"name": name, "password": password}).status == 201
        assert api.caller().post("/api/login", {"name": name, "password": password}).status == 200


def test_a_login_gives_a_token_and_a_cookie_that_scripts_cannot_read(api, bob):
    before_ms = time.time() * 1000
    answer = api.caller().post("/api/login", {"name": bob.user["name"], "password": PASSWORD})
    said = answer.json()
    assert answer.status == 200
    assert set(said) == {"token", "expires_at", "user"}
    assert said["user"] == bob.user
    assert said["expires_at"] > before_ms + 3600_000
    assert re.fullmatch(rf"hp_session={said['token']}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax",
                        answer.fields["set-cookie"])
    assert api.caller(said["token"]).get("/api/me").json()["user"] == bob.user
    cookie = api.caller().get("/api/me", headers={"Cookie": f"a=b; hp_session={said['token']}; c=d"})
    assert cookie.json()["user"] == bob.user


@pytest.mark.parametrize("body", [
    {"name": "bob", "password": "wrong horse"}, {"name": "nobody-at-all", "password": PASSWORD},
    {"name": "BOB", "password": PASSWORD}, {"name": "", "password": ""}, {"name": "bob'--", "password": PASSWORD},
    {"name": "bob", "password": PASSWORD.upper()},
])
def test_a_wrong_login_says_nothing_but_that(api, bob, body):
    answer = api.caller().post("/api/login", body)
    assert answer.status == 401
    assert answer.problem()["detail"] == "no such name and password"
    assert "set-cookie" not in answer.fields
    assert answer.fields["www-authenticate"]


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({}, ["name", "password"]), ({"name": "a", "password": 1}, ["password"]), ({"name": [], "password": ""}, ["name"]),
    ({"name": "bob", "password": "a\0b"}, ["password"]), ({"name": "bob\0", "password": "a"}, ["name"]),
    ({"name": "bob", "password": "x" * 257}, ["password"]), ({"name": "\udfff", "password": "a"}, ["name"]),
    ({"name": "bob", "password": PASSWORD, "remember": True}, ["remember"]),
])
def test_a_login_that_cannot_be_read_is_blamed(api, body, blamed):
    assert api.caller().post("/api/login", body).blamed() == blamed


@one_engine
@pytest.mark.parametrize("headers", [
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer nonsense"},
    {"Authorization": "Basic Ym9iOmJvYg=="}, {"Authorization": "Bearer " + "x" * 5000}, {"Cookie": "hp_session="},
    {"Cookie": "hp_session=nonsense"}, {"Cookie": "hp_session"}, {"Cookie": ";;;"}, {"Authorization": "Bearer é"},
])
@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/api/me"), ("GET", "/api/users"), ("POST", "/api/logout"), ("POST", "/api/channels"),
    ("GET", "/api/channels/1/messages"), ("POST", "/api/channels/1/messages"), ("POST", "/api/connect"),
    ("GET", "/api/gateways"), ("GET", "/api/search?q=x"),
])
def test_without_a_session_there_is_nothing(api, method, path, headers):
    answer = api.caller().ask(method, path, headers=headers)
    assert answer.status == 401
    answer.problem()


def test_me_is_who_asks_and_which_history_this_is(ann):
    said = ann.get("/api/me").json()
    assert set(said) == {"user", "epoch"}
    assert said["user"] == ann.user
    assert ann.get("/api/me").json()["epoch"] == said["epoch"]


def test_after_a_logout_the_session_is_over_at_once_and_only_that_one(api, bob):
    first, second = api.caller(), api.caller()
    for caller in (first, second):
        caller.user = bob.user
        log_in(caller)
        assert caller.get("/api/me").status == 200
    answer = first.post("/api/logout")
    assert (answer.status, answer.body) == (204, b"")
    assert re.fullmatch(r"hp_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", answer.fields["set-cookie"])
    assert first.get("/api/me").status == 401
    assert second.get("/api/me").status == 200
    assert first.post("/api/logout").status == 401


def test_a_logout_is_told_to_the_gateways(api):
    caller = api.person()
    with api.redis().pubsub() as heard:
        heard.subscribe(f"{api.config.redis.prefix}u:{caller.id}")
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        caller.post("/api/logout")
        said = json.loads(heard.get_message(timeout=5)["data"])
    assert set(said) == {"session_over"}


def test_users_are_listed_by_prefix_in_pages(api, ann):
    prefix = new_name()
    made = [ann.post("/api/users", {"name": f"{prefix}.{i}", "password": PASSWORD}).json() for i in range(5)]
    assert ann.get(f"/api/users?prefix={prefix}.").json() == {"users": made}
    assert ann.get(f"/api/users?prefix={prefix}.&limit=2").json() == {"users": made[:2]}
    assert ann.get(f"/api/users?prefix={prefix}.&after={made[1]['id']}&limit=2").json() == {"users": made[2:4]}
    assert ann.get(f"/api/users?prefix={prefix.replace('n', '_')}%25").json() == {"users": []}
    assert ann.get("/api/users?prefix=%00x").blamed() == ["prefix"]


def test_a_user_is_shown_by_id(ann, bob):
    assert ann.get(f"/api/users/{bob.id}").json() == bob.user
    assert ann.get("/api/users/999999").status == 404


def test_one_changes_ones_own_display_name(api):
    caller = api.person()
    answer = caller.patch(f"/api/users/{caller.id}", {"display": "New"})
    assert answer.json() == {**caller.user, "display": "New"}
    assert caller.get("/api/me").json()["user"]["display"] == "New"
    assert caller.patch(f"/api/users/{caller.id}", {}).json()["display"] == "New"


def test_nobody_but_an_admin_changes_somebody_else(api, ann, bob):
    caller = api.person()
    assert bob.patch(f"/api/users/{caller.id}", {"display": "x"}).status == 403
    assert ann.patch(f"/api/users/{caller.id}", {"display": "By ann"}).json()["display"] == "By ann"
    assert bob.patch("/api/users/999999", {"display": "x"}).status in (403, 404)


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(api):
    caller, elsewhere = api.person(), api.caller()
    elsewhere.user = caller.user
    log_in(elsewhere)
    path = f"/api/users/{caller.id}"
    assert caller.patch(path, {"password": "another horse"}).blamed() == ["old_password"]
    assert caller.patch(path, {"password": "another horse", "old_password": "wrong"}).status == 403
    assert elsewhere.get("/api/me").status == 200
    assert caller.patch(path, {"password": "another horse", "old_password": PASSWORD}).status == 200
    assert caller.get("/api/me").status == 200
    assert elsewhere.get("/api/me").status == 401
    name = caller.user["name"]
    assert api.caller().post("/api/login", {"name": name, "password": PASSWORD}).status == 401
    assert api.caller().post("/api/login", {"name": name, "password": "another horse"}).status == 200


def test_not_even_an_admin_sets_somebody_elses_password(ann, bob):
    assert ann.patch(f"/api/users/{bob.id}", {"password": "another horse", "old_password": PASSWORD}).status == 403


@one_engine
@pytest.mark.parametrize(("body", "blamed"), [
    ({"display": None}, ["display"]), ({"display": 3}, ["display"]), ({"name": "x"}, ["name"]),
    ({"admin": True}, ["admin"]), ({"password": "short", "old_password": PASSWORD}, ["password"]),
])
def test_a_change_that_cannot_be_is_blamed(bob, body, blamed):
    assert bob.patch(f"/api/users/{bob.id}", body).blamed() == blamed


def test_who_is_deactivated_is_out_and_stays_known(api, ann, bob):
    caller = api.person()
    assert bob.delete(f"/api/users/{caller.id}").status == 403
    assert ann.delete(f"/api/users/{caller.id}").status == 204
    assert caller.get("/api/me").status == 401
    assert api.caller().post("/api/login", {"name": caller.user["name"], "password": PASSWORD}).status == 401
    assert ann.get(f"/api/users/{caller.id}").json() == {**caller.user, "active": False}
    assert ann.delete(f"/api/users/{caller.id}").status == 204


def test_one_may_leave_by_oneself(api):
    caller = api.person()
    assert caller.delete(f"/api/users/{caller.id}").status == 204
    assert caller.get("/api/me").status == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1", "", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_does_not_write_with_our_cookie(api, bob, origin):
    headers = {"Cookie": f"hp_session={bob.token}", "Origin": origin}
    name = new_name()
    answer = bob.post("/api/channels", {"name": name, "kind": "public"}, headers=headers)
    assert answer.status == 403
    answer.problem()
    assert bob.patch(f"/api/users/{bob.id}", {"display": "x"}, headers=headers).status == 403
    assert bob.post("/api/logout", headers=headers).status == 403
    assert bob.get("/api/me", headers=headers).status == 200
    # Nothing happened: the name is free, the session open.
    assert bob.post("/api/channels", {"name": name, "kind": "public"}).status == 201


def test_our_own_page_and_programs_write(api, bob):
    headers = {"Cookie": f"hp_session={bob.token}", "Origin": api.origin}
    assert bob.patch(f"/api/users/{bob.id}", {}, headers=headers).status == 200
    assert bob.patch(f"/api/users/{bob.id}", {}, headers={"Cookie": f"hp_session={bob.token}"}).status == 200
    assert bob.patch(f"/api/users/{bob.id}", {}, headers={"Origin": "http://evil.example"}).status == 200


def test_where_only_admins_make_accounts_only_they_do(redis_url, tmp_path):
    with serving(make_config(tmp_path, redis_url, registration="admin")) as api:
        ann = api.person("ann")     # the first one ever
        someone = {"name": "bob", "password": PASSWORD}
        assert api.caller().post("/api/users", someone).status == 401
        assert ann.post("/api/users", someone).status == 201
        bob = api.caller()
        bob.user = {"name": "bob"}
        log_in(bob)
        assert bob.post("/api/users", {"name": "cy", "password": PASSWORD}).status == 403


def test_behind_https_the_cookie_stays_there_and_that_origin_writes(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url, public_url="https://chat.example/x", origins=("https://other.example",))
    with serving(config) as api:
        ann = api.person("ann")
        answer = ann.post("/api/login", {"name": "ann", "password": PASSWORD})
        assert answer.fields["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")
        for origin, status in (("https://chat.example", 200), ("https://other.example", 200), (api.origin, 403),
                               ("http://chat.example", 403)):
            headers = {"Cookie": f"hp_session={ann.token}", "Origin": origin}
            assert ann.patch(f"/api/users/{ann.id}", {}, headers=headers).status == status


def test_logins_are_limited_by_name_and_address(redis_url, tmp_path):
    config = make_config(tmp_path, redis_url)
    config = msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, login=Rate(1, 60)))
    with serving(config) as api:
        ann, bob = api.person("ann"), api.person("bob")
        wrong = {"name": "ann", "password": "wrong horse"}
        assert api.caller().post("/api/login", wrong).status == 401
        answer = api.caller().post("/api/login", {"name": "ann", "password": PASSWORD})
        assert answer.status == 429
        answer.problem()
        assert 1 <= int(answer.fields["retry-after"]) <= 60
        # A guess at the old password is one too.
        answer = ann.patch(f"/api/users/{ann.id}", {"password": "another horse", "old_password": PASSWORD})
        assert answer.status == 429
        assert bob.post("/api/login", {"name": "bob", "password": PASSWORD}).status == 200


def test_a_name_with_blanks_behind_it_is_nobodys(api, bob):
    """MySQL's collations pad: it would be bob's, with a limit of its own."""
    for name in ("bob ", " bob", "bob\t", "bob\n", "BOB"):
        assert api.caller().post("/api/login", {"name": name, "password": PASSWORD}).status == 401


def test_a_session_ends_when_its_time_has_come(api):
    """The clock is the database's row: what has expired is over."""
    caller = api.person()
    database = Database.open(api.config, create=False)
    try:
        with database.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE sessions SET expires_at = 1 WHERE user_id = {caller.id}")
    finally:
        database.close()
    # What was remembered of it is forgotten within a second.
    wait_for(lambda: caller.get("/api/me").status == 401, "the session to be over")
