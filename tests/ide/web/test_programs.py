from __future__ import annotations

import pytest

from tests.clients import Client, request_bytes
from tests.ide.servers import Ide, Screen
from tests.waiting import wait_for

T = {"id", "kind", "title", "cols", "rows", "alive", "exit", "offset"}


def test_a_terminal_is_opened_listed_and_closed(ide: Ide, files: str, project):
    answer = ide.ask("POST", f"{files}/terminals", {"cols": 100, "rows": 30})
    made = answer.json()
    assert answer.status == 201
    assert set(made) == T
    assert (made["kind"], made["cols"], made["rows"], made["alive"], made["exit"]) == ("shell", 100, 30, True, None)
    assert made["id"] in [one["id"] for one in ide.right(200, "GET", f"{files}/terminals")["terminals"]]
    assert ide.ask("DELETE", f"{files}/terminals/{made['id']}").status == 204
    assert made["id"] not in [one["id"] for one in ide.right(200, "GET", f"{files}/terminals")["terminals"]]
    assert ide.right(404, "DELETE", f"{files}/terminals/{made['id']}")["code"] == "not-found"


@pytest.mark.parametrize("size", [{"cols": 0, "rows": 24}, {"cols": 80, "rows": 1001}, {"cols": "80", "rows": 24},
                                  {"cols": 80.5, "rows": 24}, {"cols": -1, "rows": 24}])
def test_a_size_is_one(ide: Ide, files: str, size):
    assert ide.right(422, "POST", f"{files}/terminals", size)["code"] == "invalid"


def test_a_project_that_does_not_run_has_no_terminals(ide: Ide):
    made = ide.create("stopped", "bare", start=False)
    path = f"/api/projects/{made['id']}"
    for act in "terminals", "run":
        assert ide.right(409, "POST", f"{path}/{act}")["code"] == "not-running"
    assert ide.right(200, "GET", f"{path}/ports") == {"ports": []}


def test_terminals_are_bounded(ide: Ide, files: str):
    ids = []
    while (answer := ide.ask("POST", f"{files}/terminals")).status == 201:
        ids.append(answer.json()["id"])
    assert (answer.status, answer.json()["code"], len(ids)) == (429, "too-many", 8)
    for id in ids:
        assert ide.ask("DELETE", f"{files}/terminals/{id}").status == 204


def test_run_runs_and_its_output_and_status_are_there_afterwards(ide: Ide, files: str, project):
    made = ide.right(201, "POST", f"{files}/run", {"command": "echo it ran; exit 7"})
    assert (made["kind"], made["title"]) == ("run", "echo it ran; exit 7")
    screen = Screen(ide, project["id"], made["id"])
    screen.until(b"it ran\r\n")
    assert screen.until_closed() == 1000
    assert screen.status == 7
    screen.close()
    again = ide.right(201, "POST", f"{files}/run")
    assert again["title"] == "echo ran"


def test_packages_are_names(ide: Ide, files: str):
    for bad in [], ["--index-url=http://evil"], ["../x"], ["http://evil/x.tar.gz"], ["a b"], [""], [1]:
        assert ide.right(422, "POST", f"{files}/packages", {"add": bad})["code"] == "invalid"


def test_without_a_bucket_there_are_no_backups(ide: Ide, files: str):
    for method, path in (("GET", "backups"), ("POST", "backups"), ("POST", "backups/1/restore")):
        assert ide.right(409, method, f"{files}/{path}")["code"] == "no-backup-configured"


def test_who_goes_while_a_shell_starts_leaves_one_that_is_listed(ide: Ide):
    made = ide.create("left", "bare")
    path = f"/api/projects/{made['id']}"
    with Client(ide.address) as client:
        client.send(request_bytes("POST", f"{ide.base}{path}/terminals", ide.bearer, b"", host=ide.address))
    listed = wait_for(lambda: ide.right(200, "GET", f"{path}/terminals")["terminals"], "the shell")
    assert [one["alive"] for one in listed] == [True]
    ide.right(204, "DELETE", f"{path}/terminals/{listed[0]['id']}")
    assert ide.right(200, "GET", path)["terminals"] == 0
