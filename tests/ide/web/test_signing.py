from __future__ import annotations

import json

import pytest

from tests.ide.servers import Ide, serving, written

# The server on a disk that is behind: what is to be on it never is.
STALLED = """
import os, sys, time
from hotpath.ide.command import main
sync = os.fsync
os.fsync = lambda fd: time.sleep(1000) if "sessions" in os.readlink(f"/proc/self/fd/{fd}") else sync(fd)
sys.exit(main())
"""

TYPED = [("Content-Type", "application/json")]


def test_the_token_buys_a_cookie_and_its_end_takes_it_back(ide: Ide):
    answer = ide.raw("POST", "/api/session", TYPED, json.dumps({"token": ide.token}).encode())
    assert answer.status == 204
    line = answer.value("set-cookie") or ""
    name, _, rest = line.partition("=")
    value, *attributes = rest.split("; ")
    assert name == f"hotpath_ide_{ide.served.port}"
    assert len(value) >= 43
    assert {"Path=/ide", "HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert "Secure" not in attributes
    cookie = [("Cookie", f"other=1; {name}={value}"), ("Origin", f"http://{ide.address}")]
    assert ide.raw("GET", "/api/session", cookie).json() == {"credential": "cookie"}
    assert ide.raw("GET", "/api/projects", cookie).status == 200
    gone = ide.raw("DELETE", "/api/session", cookie)
    assert gone.status == 204
    assert "Max-Age=0" in (gone.value("set-cookie") or "")
    assert ide.raw("GET", "/api/session", cookie).status == 401
    assert ide.raw("GET", "/api/projects", cookie).status == 401


def test_the_token_itself_has_no_session(ide: Ide):
    assert ide.right(200, "GET", "/api/session") == {"credential": "token"}
    assert ide.ask("DELETE", "/api/session").status == 204
    assert ide.right(200, "GET", "/api/session") == {"credential": "token"}


@pytest.mark.parametrize(("body", "status"), [
    (b'{"token": ""}', 401), (b'{"token": "wrong"}', 401), (b"{}", 422), (b'{"token": null}', 422), (b"no", 400)])
def test_what_is_no_token_buys_nothing(ide: Ide, body, status):
    answer = ide.raw("POST", "/api/session", TYPED, body)
    assert answer.status == status
    assert answer.value("set-cookie") is None
    if status == 401:
        assert answer.json()["code"] == "unauthorized"
        assert (answer.value("www-authenticate") or "").startswith("Bearer")


def test_a_disk_that_takes_nothing_keeps_nobody_out(tmp_path):
    with serving(written(tmp_path)) as ide:
        (tmp_path / "data" / "sessions.json.new").mkdir()
        cookie = ide.cookie()
        assert ide.raw("GET", "/api/session", cookie).status == 200
        ide.served.wait_for("sessions not saved")


def test_a_disk_that_stalls_keeps_nobody_out(tmp_path):
    with serving(written(tmp_path), program=("-c", STALLED)) as ide:
        for _ in range(2):      # the second waits behind the first
            cookie = ide.cookie()
            assert ide.raw("GET", "/api/session", cookie).status == 200
        ide.served.wait_for("sessions not saved yet")


def test_who_guesses_waits_and_others_do_not(tmp_path):
    with serving(written(tmp_path)) as ide:
        wrong = json.dumps({"token": "wrong"}).encode()
        for _ in range(10):
            assert ide.raw("POST", "/api/session", TYPED, wrong).status == 401
        for body in wrong, json.dumps({"token": ide.token}).encode():
            answer = ide.raw("POST", "/api/session", TYPED, body)
            assert (answer.status, answer.json()["code"]) == (429, "too-many")
            assert 1 <= int(answer.value("retry-after") or 0) <= 60
        assert ide.ask("GET", "/api/projects").status == 200
