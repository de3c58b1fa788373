import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_command_runs_as_a_package_that_hides_no_module():
    script = ("import runpy, sys; sys.argv = ['bench', '--help']\n"
              "try: runpy.run_path('bench', run_name='__main__')\n"
              "except SystemExit as end: assert end.code == 0\n"
              "import profile, bench.proxy\n"
              "assert 'bench' not in profile.__file__\n"
              "from importlib.util import find_spec\n"
              "assert find_spec('core') is None and find_spec('proxy') is None\n")
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_tells_what_it_can_do():
    command = [sys.executable, "-P", "bench", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "proxy" in done.stdout


def test_the_tests_find_the_package_without_the_folder_on_the_path():
    found = find_spec("bench")
    assert found is not None
    assert found.origin == str(ROOT / "bench" / "__init__.py")
    assert find_spec("rivals") is None
