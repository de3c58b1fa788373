"""The systemd units say what systemd and our programs understand."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter

import pytest

from tests.deploy.shipped import NAMES, UNITS, commands, copied_units, moved, settings

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed: apt-get install systemd")
# As systemd scores what a unit may do, from 0 (nothing) to 100; one that makes namespaces for others may do more.
MOST_EXPOSED = {"hotpath-ide": 50}


@pytest.fixture
def configs(tmp_path):
    """The configurations, with data where we may write; how each unit's command line spells them."""
    return moved(tmp_path, UNITS / "config", **{"/var/lib": str(tmp_path)})


def environment(folder):
    """What systemd tells a service of its folders."""
    return {**os.environ, "STATE_DIRECTORY": str(folder), "RUNTIME_DIRECTORY": str(folder),
            "LOGS_DIRECTORY": str(folder)}


def test_there_is_a_unit_for_each_server():
    assert tuple(f"hotpath-{name}" for name in ("chat", "crdt", "ide", "locking", "proxy", "shard")) == NAMES


@needs_systemd
def test_systemd_understands_them(tmp_path):
    units = copied_units(tmp_path)
    done = subprocess.run([ANALYZE, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "hotpath" in line]
    assert (done.returncode, said) == (0, [])


@needs_systemd
def test_a_word_that_systemd_does_not_know_is_noticed_also_in_what_all_units_share(tmp_path):
    units = copied_units(tmp_path)
    shared = units[0].parent / "hotpath-.service.d" / "hardening.conf"
    shared.write_text(shared.read_text().replace("ProtectHome", "ProtectHoem"))
    done = subprocess.run([ANALYZE, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert "ProtectHoem" in done.stderr


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_may_do_little_more_than_it_must(tmp_path, name):
    units = copied_units(tmp_path)
    most = MOST_EXPOSED.get(name, 25)
    done = subprocess.run([ANALYZE, "security", "--offline=true", f"--threshold={most}", "--no-pager",
                           units[0].with_name(f"{name}.service")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_what_a_unit_starts_accepts_its_configuration(tmp_path, configs, name):
    start, = commands(name, "ExecStart")
    words = [word.replace("/etc/hotpath", str(configs)) for word in start]
    done = subprocess.run([*words, "--check"], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, f"{configs}/{name.removeprefix('hotpath-')}.yaml: ok\n"), done.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if commands(name, "ExecReload")])
def test_a_reload_checks_what_it_starts_with_and_then_signals(name):
    start, = commands(name, "ExecStart")
    assert commands(name, "ExecReload") == [[*start, "--check"], ["/bin/kill", "-HUP", "$MAINPID"]]


def test_each_unit_has_a_user_of_its_own_who_is_made():
    users = Counter(dict(settings(UNITS / f"{name}.service"))["User"] for name in NAMES)
    made = re.findall(r"^u (\S+)", (UNITS / "hotpath.sysusers").read_text(), re.MULTILINE)
    assert users == Counter(made)


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_waits_as_long_as_its_server_drains(name):
    """The default drain is 30 s."""
    told = dict(settings(UNITS / f"{name}.service"))
    assert int(told["TimeoutStopSec"]) >= 35
    assert (told["Type"], told["KillMode"], told["RestartPreventExitStatus"]) == ("notify", "mixed", "2")
