from __future__ import annotations

import re

import pytest

from tests.ide.servers import Ide

P = {"id", "name", "template", "run", "state", "error", "sandbox", "created", "opened", "bytes", "files", "terminals",
     "keep_running"}


def test_a_project_is_made_listed_and_found(ide: Ide):
    answer = ide.ask("POST", "/api/projects", {"name": " A project ", "template": "bare"})
    made = answer.json()
    assert (answer.status, answer.value("location")) == (201, f"/ide/api/projects/{made['id']}")
    assert set(made) == P
    assert re.fullmatch("[a-z2-7]{12}", made["id"])
    assert (made["name"], made["state"], made["error"]) == ("A project", "running", None)
    assert (made["sandbox"], made["run"]) == ("process", "echo ran")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", made["created"])
    listed = ide.right(200, "GET", "/api/projects")["projects"]
    assert listed[0]["id"] == made["id"]
    assert ide.right(200, "GET", f"/api/projects/{made['id']}")["name"] == "A project"


def test_starting_and_stopping_can_be_repeated(ide: Ide):
    made = ide.create("stops", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    assert made["state"] == "stopped"
    for act, state in (("start", "running"), ("start", "running"), ("stop", "stopped"), ("stop", "stopped"),
                       ("restart", "running"), ("restart", "running"), ("stop", "stopped")):
        assert ide.right(200, "POST", f"{path}/{act}")["state"] == state


@pytest.mark.parametrize(("name", "status"), [
    ("", 422), ("   ", 422), ("x" * 81, 422), ("a\nb", 422), ("a\x00b", 422), ("\u202eabc", 422), ("x" * 80, 201),
    ("<script>alert(1)</script>", 201), ("Ünïcödé 名前", 201), ("TAKEN", 409)])
def test_a_name_is_printable_and_nobody_elses(ide: Ide, name, status):
    if status == 409:
        ide.create("taken", "bare", start=False)
    answer = ide.ask("POST", "/api/projects", {"name": name, "template": "bare", "start": False})
    assert answer.status == status
    if status == 201:
        assert answer.json()["name"] == name
        assert (answer.value("content-type"), answer.value("x-content-type-options")) == ("application/json", "nosniff")
    else:
        assert answer.json()["code"] == ("name-taken" if status == 409 else "invalid")


@pytest.mark.parametrize(("body", "fields", "status", "code"), [
    (b"{", [("Content-Type", "application/json")], 400, "bad-request"),
    (b"\xff", [("Content-Type", "application/json")], 400, "bad-request"),
    (b"{}", [("Content-Type", "text/plain")], 415, "unsupported-media-type"),
    (b"{}", [("Content-Type", "application/problem+json")], 415, "unsupported-media-type"),
    (b"{}", [], 415, "unsupported-media-type"),
    (b"[]", [("Content-Type", "application/json; charset=utf-8")], 422, "invalid"),
    (b'{"name":1,"template":"bare"}', [("Content-Type", "application/json")], 422, "invalid"),
    (b'{"name":"x","template":"nothing"}', [("Content-Type", "application/json")], 422, "invalid"),
    (b'{"name":"x","template":"bare","id":"x"}', [("Content-Type", "application/json")], 422, "invalid"),
    (b'{"name":' + b"[" * 100_000, [("Content-Type", "application/json")], 422, "invalid"),
    (b" " * (1024 * 1024 + 1), [("Content-Type", "application/json")], 413, "too-large")])
def test_a_body_is_checked(ide: Ide, body, fields, status, code):
    answer = ide.ask("POST", "/api/projects", body, fields)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.value("content-type") == "application/problem+json"


def test_a_project_is_changed(ide: Ide):
    made = ide.create("before", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    said = ide.right(200, "PATCH", path, {"name": "after", "run": "echo other", "keep_running": True})
    assert (said["name"], said["run"], said["keep_running"]) == ("after", "echo other", True)
    ide.create("third", "bare", start=False)
    assert ide.right(409, "PATCH", path, {"name": "THIRD"})["code"] == "name-taken"
    assert ide.right(422, "PATCH", path, {})["code"] == "invalid"
    assert ide.right(422, "PATCH", path, {"state": "running"})["code"] == "invalid"


def test_a_project_goes_and_comes_back(ide: Ide):
    made = ide.create("goes", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    assert ide.ask("DELETE", path).status == 204
    assert ide.ask("GET", path).status == 404
    assert ide.ask("DELETE", path).status == 404
    assert ide.right(200, "POST", f"{path}/undelete")["name"] == "goes"
    assert ide.right(200, "GET", f"{path}/file?path=a.txt").body == b"one\n"
    assert ide.right(400, "DELETE", f"{path}?purge=yes")["code"] == "bad-request"
    assert ide.ask("DELETE", f"{path}?purge=1").status == 204
    assert ide.right(404, "POST", f"{path}/undelete")["code"] == "not-found"


def test_templates_say_what_is_missing(ide: Ide):
    templates = {one["name"]: one for one in ide.right(200, "GET", "/api/templates")["templates"]}
    assert list(templates)[:3] == ["python", "node", "web"]
    assert set(templates["bare"]) == {"name", "title", "image", "run", "available", "missing"}
    assert (templates["bare"]["available"], templates["bare"]["missing"]) == (True, None)


def test_who_asks_for_nothing_that_is_there_is_told(ide: Ide):
    for method, path, status, code in (
            ("GET", "/api/projects/aaaaaaaaaaaa", 404, "not-found"), ("GET", "/api/nothing", 404, "not-found"),
            ("PUT", "/api/projects", 405, "method-not-allowed"), ("BREW", "/api/projects", 501, "not-implemented"),
            ("GET", "/api/projects/../projects", 404, "not-found"),
            ("GET", "/api/projects/aaaaaaaaaaaa/events", 426, "upgrade-required")):
        answer = ide.ask(method, path)
        assert (answer.status, answer.json()["code"]) == (status, code), path


def test_metrics_and_health_are_there(ide: Ide):
    answer = ide.ask("GET", "/metrics")
    assert answer.status == 200
    text = answer.body.decode()
    for family in ("projects", "terminals", "pages", "sessions", "saves_total", "events_sent_total", "start_seconds",
                   "terminal_output_bytes"):
        assert f"# TYPE hotpath_ide_{family}" in text
    assert 'hotpath_ide_projects{state="running"}' in text
    assert ide.raw("GET", "/healthz").body == b"ok\n"
