"""The preloaded disk keeps what was synced and nothing else, and is as slow as told."""
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.chat.disk import Disk

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=" + sys.argv[2])
db.execute("CREATE TABLE IF NOT EXISTS t(n)")
for n in range(int(sys.argv[3])):
    db.execute("INSERT INTO t VALUES (?)", (n,))
print("written", flush=True)
sys.stdin.read()
"""


def write(disk, path, synchronous, n):
    """Written by a process that never closes its database."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), synchronous, str(n)], text=True,
                               env={**os.environ, **disk.env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == "written\n"
        process.kill()


def rows(folder):
    with closing(sqlite3.connect(folder / "chat.db")) as db:
        return db.execute("SELECT COUNT(*) FROM t").fetchone()[0]


def test_synced_commits_outlive_a_power_cut(tmp_path):
    (tmp_path / "data").mkdir()
    disk = Disk(tmp_path / "disk", tmp_path / "data")
    write(disk, tmp_path / "data" / "chat.db", "FULL", 50)
    assert rows(disk.after_power_cut(tmp_path / "after")) == 50


def test_unsynced_commits_do_not(tmp_path):
    (tmp_path / "data").mkdir()
    disk = Disk(tmp_path / "disk", tmp_path / "data")
    write(disk, tmp_path / "data" / "chat.db", "OFF", 50)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows(disk.after_power_cut(tmp_path / "after"))


def test_a_sync_takes_as_long_as_told(tmp_path):
    (tmp_path / "data").mkdir()
    disk = Disk(tmp_path / "disk", tmp_path / "data")
    disk.takes(30)
    begun = time.monotonic()
    write(disk, tmp_path / "data" / "chat.db", "FULL", 10)
    assert time.monotonic() - begun > 0.3
