"""What a command exits with, and what it says."""
import argparse
import os
import subprocess
import sys

import pytest

from hotpath.core.errors import ConfigError, ListenError
from hotpath.core.serve.command import run_command


def outcome(answer):
    """The exit status of a command that answers or raises this."""
    def run(given):
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return run_command("hotpath-x", argparse.Namespace(command="go", run=run))


@pytest.mark.parametrize(("answer", "status", "said"), [
    (0, 0, ""), (3, 3, ""), (ConfigError("x.yaml", 3, "listen", "wrong"), 2, "x.yaml:3: listen: wrong\n"),
    (ListenError("127.0.0.1:1", "permission denied"), 1, "hotpath-x go: "), (KeyboardInterrupt(), 1, "")],
    ids=["fine", "its own", "a mistake", "refused", "Ctrl-C"])
def test_each_end_has_its_status(answer, status, said, capsys):
    assert outcome(answer) == status
    assert capsys.readouterr().err.startswith(said)


def test_our_own_mistakes_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        outcome(ZeroDivisionError())


def test_who_reads_no_further_gets_no_traceback():
    script = """
import argparse, sys
from hotpath.core.serve.command import run_command
def run(given):
    while True:
        print("x" * 1000)
sys.exit(run_command("hotpath-x", argparse.Namespace(command="go", run=run)))
"""
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-P", "-c", script], stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        os.read(reading, 10)
        os.close(reading)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, b"")
