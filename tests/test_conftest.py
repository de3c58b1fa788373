"""A skip is a failure once everything is required; tests that a script runs behind itself still hear Ctrl+C."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPPING = {
    "skips": "import pytest\ndef test_it():\n    pytest.skip('no nginx')\n",
    "marked": "import pytest\n@pytest.mark.skipif(True, reason='no nginx')\ndef test_it():\n    pass\n",
    "whole": "import pytest\npytest.skip('no nginx', allow_module_level=True)\n",
}


def outcome(sources: dict[str, str], folder: Path, *flags: str, **env: str) -> tuple[int, str]:
    for name, source in sources.items():
        (folder / f"test_{name}.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "tests.conftest",
         "-c", "/dev/null", "--rootdir", str(folder), "--continue-on-collection-errors", *flags, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOTPATH_REQUIRE_ALL": "0", **env},
        capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("flags", [(), ("--numprocesses", "2")], ids=["alone", "two workers"])
def test_a_skip_is_a_failure_only_when_everything_is_required(flags, tmp_path):
    status, output = outcome(SKIPPING, tmp_path, *flags)
    assert status == pytest.ExitCode.OK, output
    assert f" {len(SKIPPING)} skipped" in output

    status, output = outcome(SKIPPING, tmp_path, *flags, HOTPATH_REQUIRE_ALL="1")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert output.count("HOTPATH_REQUIRE_ALL allows no skip: ") >= len(SKIPPING), output
    assert " 1 failed, 2 errors" in output      # the marked one fails in its setup
    assert "no nginx" in output


def test_an_expected_failure_is_not_a_skip(tmp_path):
    source = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
    status, output = outcome({"it": source}, tmp_path, HOTPATH_REQUIRE_ALL="1")
    assert status == pytest.ExitCode.OK, output


@pytest.mark.parametrize("flags", [(), ("--numprocesses", "2")], ids=["alone", "two workers"])
def test_who_was_started_deaf_to_ctrl_c_hears_it(flags, tmp_path):
    source = "import signal\ndef test_it():\n    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status, output = outcome({"it": source}, tmp_path, *flags)
    finally:
        signal.signal(signal.SIGINT, ours)
    assert status == pytest.ExitCode.OK, output
