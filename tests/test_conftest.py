"""A skip is a failure once everything is required."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPPING = {
    "a test that skips": "import pytest\ndef test_it():\n    pytest.skip('no nginx')\n",
    "a marked test": "import pytest\n@pytest.mark.skipif(True, reason='no nginx')\ndef test_it():\n    pass\n",
    "a module that skips": "import pytest\npytest.skip('no nginx', allow_module_level=True)\n",
}


def outcome(source: str, folder: Path, **env: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "tests.conftest",
         "-c", "/dev/null", "--rootdir", str(folder), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOTPATH_REQUIRE_ALL": "0", **env},
        capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("case", SKIPPING)
def test_a_skip_is_a_failure_only_when_everything_is_required(case, tmp_path):
    status, output = outcome(SKIPPING[case], tmp_path)
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), output
    assert "1 skipped" in output

    status, output = outcome(SKIPPING[case], tmp_path, HOTPATH_REQUIRE_ALL="1")
    assert status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), output
    assert "allows no skip" in output
    assert "no nginx" in output


def test_an_expected_failure_is_not_a_skip(tmp_path):
    source = "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"
    status, output = outcome(source, tmp_path, HOTPATH_REQUIRE_ALL="1")
    assert status == pytest.ExitCode.OK, output
