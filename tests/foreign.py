"""Other people's test-suites, run against ours: from their source archives, of which nothing is kept here."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ARCHIVES = Path(__file__).parents[1] / "build" / "archives"
DOWNLOAD_S = 90
SUITE_S = 600

# install() must come before anything that imports the real packages. Their tests may lie inside the package they test,
# as h11.tests does, so the stand-in gets the folder that holds nothing but them.
CONFTEST = """\
import sys

from hotpath.core.wire import install

install(h11={h11}, wsproto={wsproto})
for name in ("h11", "wsproto"):
    if {{"h11": {h11}, "wsproto": {wsproto}}}[name]:
        sys.modules[name].__path__ = [{folder!r} + "/" + name]
"""


def source_archive(name: str, version: str) -> Path:
    """The unpacked source archive of `name`, fetched by pip once per tree; skips (see conftest) without it."""
    unpacked = ARCHIVES / f"{name}-{version}"
    if unpacked.is_dir():
        return unpacked
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    # A sanitizer is not for pip.
    env = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "PYTHONMALLOC", "PYTHONPATH")}
    with tempfile.TemporaryDirectory(dir=ARCHIVES) as folder:
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--no-binary", ":all:", "--dest", folder, f"{name}=={version}"]
        try:
            subprocess.run(command, env=env, capture_output=True, text=True, timeout=DOWNLOAD_S, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"pip cannot download the sources of {name} {version}: {error}: {error.stderr}")
        archives = list(Path(folder).glob("*.tar.gz"))
        shutil.unpack_archive(archives[0], folder)
        if not unpacked.exists():       # else another run was quicker
            (Path(folder) / unpacked.name).rename(unpacked)
    return unpacked


def run_suite(folder: Path, tests: Sequence[str], *, h11: bool = False, wsproto: bool = False,
              left_out: Mapping[str, str] | None = None) -> None:
    """Run test files of an unpacked archive in a process where ours stand in for h11 and/or wsproto.

    `tests`: files relative to `folder`, all in one directory ("h11/tests/test_state.py"). `left_out`: pytest's name of
    a case ("h11/tests/test_state.py::test_x") and why it cannot hold for ours; each must exist. AssertionError with
    pytest's report unless everything else passes.
    """
    left_out = left_out or {}
    (directory,) = {Path(test).parent for test in tests}
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(folder / directory, Path(place) / directory)
        # Packages above the tests must look like packages, without what they hold.
        for parent in directory.parents:
            if (folder / parent / "__init__.py").exists():
                (Path(place) / parent / "__init__.py").touch()
        (Path(place) / "conftest.py").write_text(CONFTEST.format(h11=h11, wsproto=wsproto, folder=place))
        (Path(place) / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--capture", "sys", *tests]
        for case in left_out:
            command += ["--deselect", case]
        ran = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=SUITE_S, check=False)
    report = ran.stdout + ran.stderr
    assert ran.returncode == 0, report
    assert re.search(r"\d+ passed", report), report
    deselected = re.search(r"(\d+) deselected", report)
    assert int(deselected[1] if deselected else 0) >= len(left_out), f"{sorted(left_out)} are not all there:\n{report}"
