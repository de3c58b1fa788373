"""The units under a real systemd: start, reload, upgrade, crash and stop, with all that they forbid in force.

Not in force here: limits on memory, processes and devices, as this systemd has no control group that counts them.
"""
from __future__ import annotations

import json
import signal

import pytest

from tests.deploy.booting import booted, missing
from tests.deploy.shipped import NAMES, UNITS
from tests.ide.paths import public_folder
from tests.waiting import wait_for

FRONT = "http://127.0.0.1:8080"
WELL = {"hotpath-chat": "chat/healthz", "hotpath-crdt": "crdt/healthz", "hotpath-ide": "ide/healthz",
        "hotpath-locking": "locking/healthz", "hotpath-shard": "shard/healthz", "hotpath-proxy": ""}
RELOADABLE = [name for name in NAMES if name != "hotpath-chat"]


@pytest.fixture(scope="module")
def system():
    if why := missing():
        pytest.skip(why)
    with public_folder() as folder, booted(folder, UNITS / "config") as system:
        yield system
        system.systemctl("stop", *NAMES, check=False)


@pytest.fixture
def house(system):
    """All of it, started."""
    system.systemctl("start", *NAMES)
    return system


def changed(system, unit, key, before):
    return wait_for(lambda: (now := system.show(unit, key)) != before and now, f"another {key} of {unit}")


def test_it_runs_nothing_of_the_machine(system):
    """Which has a Docker, a PostgreSQL and an nginx: a second one of them on the same data would be no test."""
    listed = system.systemctl("list-units", "--type=service", "--state=running", "--plain", "--no-legend").stdout
    assert {line.split()[0] for line in listed.splitlines()} <= {f"{name}.service" for name in NAMES}


def test_all_start_each_as_its_own_user_and_answer_at_the_front_door(house):
    for name in NAMES:
        assert house.systemctl("is-active", name).stdout == "active\n"
        wait_for(lambda path=WELL[name]: house.answers(f"{FRONT}/{path}"), f"{name} at the front door")
    users = house.run("ps", "-eo", "user:32=,pid=").stdout
    for name in NAMES:
        assert f"{name} {house.main_pid(name)}" in " ".join(users.split()) + " "


@pytest.mark.parametrize("name", RELOADABLE)
def test_a_reload_is_heard_of(house, name):
    before, said = house.main_pid(name), house.n_said("reloaded")
    house.systemctl("reload", name)
    wait_for(lambda: house.n_said("reloaded") == said + 1, "the reload")
    wait_for(lambda: house.show(name, "ActiveState") == "active", "systemd to hear of its end")
    assert house.main_pid(name) == before


def test_a_bad_file_is_refused_by_the_reload_and_changes_nothing(house):
    good = house.run("cat", "/etc/hotpath/proxy.yaml").stdout
    before = house.main_pid("hotpath-proxy")
    try:
        house.run("sh", "-c", "echo 'rotues: []' >> /etc/hotpath/proxy.yaml")
        assert house.systemctl("reload", "hotpath-proxy", check=False).returncode != 0
        assert "rotues" in house.said()
        assert house.systemctl("is-active", "hotpath-proxy").stdout == "active\n"
        assert "<h1>hotpath</h1>" in house.get(f"{FRONT}/")
        assert house.main_pid("hotpath-proxy") == before
    finally:
        house.run("sh", "-c", 'printf %s "$1" > /etc/hotpath/proxy.yaml', "sh", good)
    house.systemctl("reload", "hotpath-proxy")


@pytest.mark.parametrize("name", RELOADABLE)
def test_an_upgrade_changes_the_main_process_and_is_no_restart(house, name):
    before, restarts = house.show(name, "MainPID"), house.show(name, "NRestarts")
    house.systemctl("kill", "--kill-whom=main", "--signal=USR2", name)
    changed(house, name, "MainPID", before)
    wait_for(lambda: house.run("kill", "-0", before, check=False).returncode != 0, "the end of the old one")
    assert house.systemctl("is-active", name).stdout == "active\n"
    assert house.show(name, "NRestarts") == restarts
    wait_for(lambda: house.answers(f"{FRONT}/{WELL[name]}"), f"{name} to answer")
    house.systemctl("reload", name)     # it listens to the new one


def test_a_killed_server_is_started_again_on_its_data(house):
    house.run("curl", "-fsS", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-d", "kept",
              f"{FRONT}/crdt/kv/tea?upsert=true")
    before = house.show("hotpath-crdt", "MainPID")
    house.systemctl("kill", "--kill-whom=main", f"--signal={signal.SIGKILL.name}", "hotpath-crdt")
    changed(house, "hotpath-crdt", "MainPID", before)
    wait_for(lambda: house.answers(f"{FRONT}/crdt/kv/tea"), "the replica")
    assert house.get(f"{FRONT}/crdt/kv/tea") == "kept"


def test_a_mistake_in_the_file_is_not_tried_again_and_again(system):
    good = system.run("cat", "/etc/hotpath/locking.yaml").stdout
    system.systemctl("stop", "hotpath-locking")
    try:
        system.run("sh", "-c", "echo 'lsiten: 1' >> /etc/hotpath/locking.yaml")
        assert system.systemctl("start", "hotpath-locking", check=False).returncode != 0
        assert system.systemctl("is-failed", "hotpath-locking").stdout == "failed\n"
        assert system.show("hotpath-locking", "ExecMainStatus") == "2"
        assert system.show("hotpath-locking", "NRestarts") == "0"
    finally:
        system.run("sh", "-c", 'printf %s "$1" > /etc/hotpath/locking.yaml', "sh", good)
    system.systemctl("start", "hotpath-locking")


def test_a_project_of_the_ide_has_its_sandbox(house):
    token = house.run("cat", "/var/lib/hotpath-ide/token").stdout.strip()
    ask = ["curl", "-fsS", "-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    made = json.loads(house.run(*ask, "-d", '{"name": "under systemd", "template": "web"}',
                                f"{FRONT}/ide/api/projects").stdout)
    assert (made["state"], made["sandbox"], made["error"]) == ("running", "bubblewrap", None)
    project = f"{FRONT}/ide/api/projects/{made['id']}"
    assert json.loads(house.run(*ask, "-d", '{"command": "id -u > who"}', f"{project}/run").stdout)["kind"] == "run"
    file = f"{project}/file?path=who"
    assert int(wait_for(lambda: house.run(*ask, file, check=False).stdout, "what it wrote")) > 0


def test_the_door_may_listen_below_1024_without_being_root(system):
    good = system.run("cat", "/etc/hotpath/proxy.yaml").stdout
    try:
        system.run("sed", "-i", "s/^listen: .*/listen: 127.0.0.1:80/", "/etc/hotpath/proxy.yaml")
        system.systemctl("restart", "hotpath-proxy")
        assert "<h1>hotpath</h1>" in system.get("http://127.0.0.1/")
    finally:
        system.run("sh", "-c", 'printf %s "$1" > /etc/hotpath/proxy.yaml', "sh", good)
    system.systemctl("restart", "hotpath-proxy")


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_drains_and_leaves_nobody(house, name):
    house.systemctl("stop", name)
    assert house.show(name, "Result") == "success"
    assert house.show(name, "ExecMainStatus") == "0"
    assert house.systemctl("is-active", name, check=False).stdout == "inactive\n"
    assert f"{name} " not in house.run("ps", "-eo", "user:32=,pid=").stdout
