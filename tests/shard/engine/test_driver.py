"""Both drivers are one: the tests of `test_mysql.py` hold with the one in C as they do with this process's."""
from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from hotpath.shard.engine import driver

TESTS = Path(__file__).with_name("test_mysql.py")
# What has the driver in C, whatever else it loads later.
FIRST = "from hotpath.shard.engine.driver import HAVE_CEXT; import ssl, sys; assert HAVE_CEXT"


def python(code: str, *arguments: str, within_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True,
                          timeout=within_s, cwd=TESTS.parents[3])


def test_the_driver_in_c_is_there_if_it_is_loaded_before_ssl():
    done = python(FIRST)
    assert done.returncode == 0, done.stderr


def test_a_shard_is_the_same_with_the_driver_in_c():
    done = python(f"{FIRST}; import pytest; sys.exit(pytest.main(sys.argv[1:]))", str(TESTS), "-q",
                  "-p", "no:cacheprovider", within_s=280)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_log_says_which_driver_it_is(caplog):
    with caplog.at_level("INFO"):
        driver.say_which.__wrapped__()
    assert ("driver=C" if driver.HAVE_CEXT else "driver=Python") in caplog.text


def test_a_silent_socket_is_silent_until_its_peer_hangs_up():
    here, there = socket.socketpair()
    watched = driver.Watched(here.fileno())
    assert watched.silent()
    there.close()
    assert not watched.silent()
    here.close()


def test_what_cannot_be_watched_counts_as_silent():
    assert driver.Watched(-1).silent()
