import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import chat_drivers
from bench.chat_drivers import Driver
from bench.wrk import LoadError

ECHO = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
DIES = "import sys\nsys.exit('no such luck')"


def python(folder: Path, script: str) -> Driver:
    program = folder / "program"
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o700)
    return Driver(program, ())


def test_lines_go_both_ways(tmp_path):
    with python(tmp_path, ECHO) as driver:
        assert driver.ask("run 1") == "1 nur"
        assert driver.ask("") == ""


def test_a_program_that_ends_says_why(tmp_path):
    with python(tmp_path, DIES) as driver, pytest.raises(LoadError, match="no such luck"):
        driver.line()


def test_a_silent_program_is_not_waited_for(tmp_path):
    with python(tmp_path, ECHO) as driver, pytest.raises(LoadError, match="silent"):
        driver.line(deadline_s=0.05)


def test_a_report_is_numbers():
    assert chat_drivers.numbers("1 2.5", 2) == [1.0, 2.5]
    for line in ("1", "1 two", ""):
        with pytest.raises(LoadError):
            chat_drivers.numbers(line, 2)


@pytest.mark.parametrize("name", ["chat_fanout", "chat_floor", "chat_posts", "chat_storm"])
def test_each_program_is_built_and_wants_arguments(name, tmp_path):
    program = chat_drivers.built(tmp_path, name)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"usage: {name} ")


def test_syncs_are_slowed(tmp_path):
    environment = {**os.environ, "LD_PRELOAD": str(chat_drivers.slow_sync(tmp_path)), "CHAT_SYNC_MS": "50"}
    script = "import os; fd = os.open('file', os.O_CREAT | os.O_RDWR); os.fsync(fd); os.fdatasync(fd)"
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert time.monotonic() - began_s >= 0.1        # the least; no busy machine makes it less
