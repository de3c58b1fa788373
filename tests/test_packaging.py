"""What we hand out works far away from this checkout: sdist, wheel, and cimport from somebody else's project."""
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.ide.paths import public_folder
from tests.waiting import running

ROOT = Path(__file__).parents[1]
# What is compiled is so unoptimised: what is tested is what is inside.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command, cwd, **env):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, "CFLAGS": "-O0 -g0", **env},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


SOURCES = (".pyx", ".pxd", ".pyi", ".h")


def sources_of_packages():
    """Every file of the packages, where git has it."""
    packages = [link.resolve() for link in (ROOT / "hotpath").iterdir() if link.is_symlink()]
    return [path for package in packages for path in package.rglob("*")]


def has_header(source):
    texts = [path.read_text() for path in (source, source.with_suffix(".pxd")) if path.exists()]
    return any('cdef extern from "' in text for text in texts)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The sdist of what git knows or would take, and the wheel built from that sdist.

    With what `make` had from the same sources, by their times, as to make it again takes minutes: the C of all, and the
    machine code of those that include no header but Python's. The others are compiled, as a stranger's machine does it.
    """
    folder = tmp_path_factory.mktemp("packaging")
    checkout, dist = folder / "another-name", folder / "dist"
    for name in run("git", "ls-files", "-coz", "--exclude-standard", cwd=ROOT).split("\0"):
        if name and os.path.lexists(ROOT / name):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    build = [sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", dist]
    run(*build, "--sdist", cwd=checkout, HOTPATH_SKIP_EXTENSIONS="1")
    sdist, = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    compiled = unpacked / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for source in unpacked.rglob("*.pyx"):
        name = source.relative_to(unpacked)
        made = (ROOT / name).with_suffix(".c")
        if made.exists():
            shutil.copy2(made, source.with_suffix(".c"))
        object_ = (ROOT / name).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        if object_.exists() and not has_header(source):
            (compiled / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(object_, (compiled / name).with_name(object_.name))
    run(*build, "--wheel", cwd=unpacked)
    wheel, = dist.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory):
    """The Python of a fresh environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-P", "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-P", "-m", "pip", "--python", python]
    run(*pip, "install", "--quiet", "--no-deps", archives[1], cwd=folder)
    return python


def test_the_wheel_holds_the_package_and_only_that(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"hotpath"}
    assert not [name for name in names if name.endswith((".c", ".html")) and "/page/" not in name]
    for name in ("hotpath/py.typed", "hotpath/up.yaml", "hotpath/page/index.html", "hotpath/core/page/base.css",
                 "hotpath/core/data/ring.pxd"):
        assert name in names


def test_each_extension_is_in_the_wheel_with_its_sources_and_types(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = set(wheel.namelist())
    for source in sources_of_packages():
        name = f"hotpath/{source.relative_to(ROOT)}"
        if source.suffix in SOURCES:
            assert name in names
        if source.suffix == ".pyx":
            assert any(other.startswith(name.removesuffix("pyx") + "cpython") for other in names), name


def test_the_sdist_holds_all_sources_and_the_tests_and_nothing_built(archives):
    with tarfile.open(archives[0]) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    for name in ("tests/test_packaging.py", "Makefile", "LICENSE", "hotpath/core/data/ring.pxd"):
        assert name in names
    sources = {f"hotpath/{path.relative_to(ROOT)}" for path in sources_of_packages() if path.suffix in SOURCES}
    assert len(sources) > 100
    assert not sources - set(names)
    assert not [name for name in names if name.endswith((".c", ".so"))]


def test_the_wheel_runs_in_a_fresh_environment(installed, tmp_path):
    code = "from hotpath.core.data import Ring; print(Ring(['a']).owner('key'))"
    assert run(installed, "-P", "-c", code, cwd=tmp_path) == "a\n"
    for script in ("hotpath", "hotpath-proxy"):
        assert (installed.parent / script).exists()


def test_the_whole_house_stands_in_a_fresh_environment(installed, tmp_path):
    """What it needs beside itself is ours; what it is comes from the wheel alone."""
    site = Path(run(installed, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    needed = site / "needed.pth"
    # A folder named so is searched behind the environment's own, and its own .pth files are not read.
    needed.write_text(f"{sysconfig.get_path('purelib')}\n")
    try:
        code = "import hotpath.core.net.loop; print(hotpath.__file__, hotpath.core.net.loop.__file__)"
        assert run(installed, "-P", "-c", code, cwd=tmp_path).count(str(site)) == 2
        command = [str(installed.parent / "hotpath"), "up", "--listen", "127.0.0.1:0", "--data"]
        with public_folder() as folder, running([*command, str(folder)]) as process:
            url = process.wait_for_output(r"^  (http://\S+?)/ +what runs", 120)[1]
            status = json.loads(urllib.request.urlopen(f"{url}/status.json", timeout=20).read())
            assert [part["name"] for part in status["parts"] if part["well"]] == [
                "proxy", "chat", "ide", "crdt", "shard", "locking"]
            for path in ("/", "/kit/base.css", "/chat/", "/ide/", "/crdt/", "/shard/", "/locking/"):
                assert urllib.request.urlopen(url + path, timeout=20).status == 200
            process.popen.terminate()
            assert process.wait(60) == 0
    finally:
        needed.unlink()


def test_another_project_cimports_our_structures(installed, tmp_path):
    site = run(installed, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (tmp_path / "theirs.pyx").write_text(textwrap.dedent("""
        from libc.stdint cimport uint8_t
        from hotpath.core.data.murmur cimport murmur3_x86_32

        def hashed(bytes key):
            return murmur3_x86_32(<const uint8_t*><const char*>key, len(key), 0)
    """))
    (tmp_path / "setup.py").write_text(textwrap.dedent("""
        from Cython.Build import cythonize
        from setuptools import setup

        setup(name="theirs", ext_modules=cythonize("theirs.pyx", language_level=3))
    """))
    # Their Cython is ours; its first look for `hotpath` goes to what they installed.
    run(sys.executable, "-P", "setup.py", "build_ext", "--inplace", cwd=tmp_path, PYTHONPATH=site)
    code = "import sys; sys.path.insert(0, '.'); import theirs; print(theirs.hashed(b'hello'))"
    assert run(installed, "-c", code, cwd=tmp_path) == "613153351\n"
