"""The servers that the tests run on: do they live, die and come back as the tests believe?"""
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.waiting import is_alive, wait_for

from .databases import SERVERS, running


@pytest.mark.parametrize("backend", SERVERS)
def test_a_killed_server_comes_back_with_what_it_acknowledged(backend):
    table = {"mariadb": "mysql.kept", "postgresql": "kept"}[backend]
    with running(backend) as server:
        server.execute(f"CREATE TABLE {table} (n INT)")
        server.execute(f"INSERT INTO {table} VALUES (7)")
        server.kill()
        server.start()
        assert server.execute(f"SELECT n FROM {table}") == [(7,)]


@pytest.mark.parametrize("backend", SERVERS)
def test_a_server_dies_with_the_tests(backend):
    code = f"""
        import signal
        from tests.locking.databases import running
        with running("{backend}") as server:
            print(server.folder, server._process.pid, flush=True)
            signal.pause()
    """
    tests = subprocess.Popen([sys.executable, "-P", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    try:
        folder, pid = tests.stdout.readline().split()
        assert is_alive(int(pid))
        pids = [int(pid), *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    finally:
        tests.kill()
        tests.communicate()
    wait_for(lambda: not any(map(is_alive, pids)), "the server and its processes to end")
    shutil.rmtree(folder)
