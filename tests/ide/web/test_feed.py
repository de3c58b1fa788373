from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ide.servers import Ide, Screen, heard
from tests.wsclient import Client

ABSENT = "aaaaaaaaaaaa"


def first(events: Client) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(events.read().payload)
    return said


def test_hello_says_how_the_project_is(ide: Ide, files: str, project):
    with ide.socket(f"{files}/events") as events:
        hello = first(events)
        assert hello["type"] == "hello"
        assert hello["project"] == ide.right(200, "GET", files)


def test_a_page_hears_of_states_and_terminals(ide: Ide):
    made = ide.create("heard", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    with ide.socket(f"{path}/events") as events:
        seq = first(events)["seq"]
        ide.right(200, "POST", f"{path}/start")
        assert heard(events, "state")["state"] == "starting"
        said = heard(events, "state")
        assert said["state"] == "running"
        assert said["seq"] > seq
        opened = ide.right(201, "POST", f"{path}/terminals")
        assert heard(events, "terminals")
        ide.right(204, "DELETE", f"{path}/terminals/{opened['id']}")
        assert heard(events, "terminals")
        ide.right(200, "POST", f"{path}/stop")
        assert heard(events, "state", {"state": "stopped"})


def test_a_page_hears_of_files_whoever_writes_them(ide: Ide, files: str, project):
    with ide.socket(f"{files}/events") as events:
        first(events)
        ide.put(project["id"], "heard.txt", b"by the page")
        assert [change["path"] for change in heard(events, "fs")["changes"]] == ["heard.txt"]
        shell = ide.right(201, "POST", f"{files}/terminals")
        screen = Screen(ide, project["id"], shell["id"])
        screen.type(b"echo typed > typed.txt\n")
        while "typed.txt" not in [change["path"] for change in heard(events, "fs")["changes"]]:
            pass
        screen.close()
        ide.ask("DELETE", f"{files}/terminals/{shell['id']}")


def test_what_was_missed_is_told_once_in_order(ide: Ide):
    made = ide.create("missed", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    with ide.socket(f"{path}/events") as events:
        since = first(events)["seq"]
    for name in "one", "two":
        ide.right(200, "POST", f"{path}/start")
        ide.right(200, "POST", f"{path}/stop")
        assert name
    with ide.socket(f"{path}/events?since={since}") as events:
        hello = first(events)
        assert hello["seq"] == since
        states = []
        for i in range(1, 9):
            said = first(events)
            assert said["seq"] == since + i
            states.append(said.get("state"))
        assert states.count("running") == 2
        assert states.count("stopped") == 2
    with ide.socket(f"{path}/events?since=999999") as events:
        hello, said = first(events), first(events)
        assert said["type"] == "overflow"
        assert hello["seq"] <= said["seq"]


def test_pages_of_a_project_that_was_deleted_begin_anew(ide: Ide):
    made = ide.create("undone", "bare")
    path = f"/api/projects/{made['id']}"
    with ide.socket(f"{path}/events") as events:
        seq = first(events)["seq"]
        ide.right(204, "DELETE", path)
        _, payload = events.read_to_close()
        assert payload is not None
        assert int.from_bytes(payload[:2], "big") == 1001
    assert ide.upgrade(f"{path}/events", ide.bearer) == 404
    ide.right(200, "POST", f"{path}/undelete")
    # What it missed is not what the new one has by that number.
    with ide.socket(f"{path}/events?since={seq}") as events:
        first(events)
        assert first(events)["type"] == "overflow"
        ide.right(200, "POST", f"{path}/start")
        assert heard(events, "state", {"state": "running"})


@pytest.mark.parametrize(("path", "status"), [
    (f"/api/projects/{ABSENT}/events", 404), ("/api/projects/ID/events?since=x", 400),
    ("/api/projects/ID/events?since=-1", 400), (f"/api/projects/{ABSENT}/terminals/1/socket", 404),
    ("/api/projects/ID/terminals/nothing/socket", 404), ("/api/nothing", 404)])
def test_what_is_not_there_is_refused_before_the_101(ide: Ide, project, path, status):
    assert ide.upgrade(path.replace("ID", project["id"]), ide.bearer) == status


def test_a_page_says_nothing_and_what_it_says_is_nothing(ide: Ide, files: str):
    with ide.socket(f"{files}/events") as events:
        first(events)
        events.send_frame(1, b"anything")
        events.send_close(1000)
        said, payload = events.read_to_close()
        assert payload is not None
        assert payload[:2] == (1000).to_bytes(2, "big")
        assert not [event for event in said if b"anything" in event.payload]


def test_the_end_of_a_session_closes_its_sockets_and_no_others(ide: Ide, files: str, project):
    mine, other = ide.cookie(), ide.cookie()
    shell = ide.right(201, "POST", f"{files}/terminals")
    screen = Screen(ide, project["id"], shell["id"], fields=mine)
    with ide.socket(f"{files}/events", mine) as events, ide.socket(f"{files}/events", other) as others:
        first(events)
        first(others)
        assert ide.raw("DELETE", "/api/session", mine).status == 204
        _, payload = events.read_to_close()
        assert payload is not None
        assert int.from_bytes(payload[:2], "big") == 4401
        assert screen.until_closed() == 4401
        assert ide.raw("GET", "/api/session", mine).status == 401
        assert ide.raw("GET", "/api/session", other).status == 200
        ide.right(204, "DELETE", f"{files}/terminals/{shell['id']}")
        assert heard(others, "terminals")
    screen.close()
