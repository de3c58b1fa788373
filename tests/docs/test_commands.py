"""Each command that a page shows exists and takes these flags; those that serve and ask are run as printed."""
from __future__ import annotations

import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

import pytest

from bench.compare import SUBJECTS
from bench.systems import SYSTEMS
from hotpath.core.serve.testing import launched
from tests.waiting import free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
         *sorted(ROOT.glob("[!d]*/README.md")), ROOT / "deploy" / "README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = ("", "sh", "bash")
# Where a page talks of a program, it has no further words behind it.
PROGRAM = re.compile(r"(?:\S*/)?(?:hotpath(?:-[a-z]+)?|pytest|python3?)$")
VARIABLE = re.compile(r"[A-Z_]+=")
TARGET = re.compile(r"[a-z]+$|[A-Z_]+=")        # not "make the mark, or …"
SERVES = re.compile(r"hotpath-\w+ (?:serve\b|-c )")
# What a page shows beside servers: it has no end, takes its time, or is another way to serve.
NOT_RUN = re.compile(r"--watch| bench | demo| -[tT] ")
# Where a router is that was told nothing.
DEFAULT_OF_SHARD = "127.0.0.1:8320"


def lines(page: Path) -> Iterator[str]:
    """Those for a shell: of the page's blocks, and between backquotes."""
    text = page.read_text()
    for language, block in BLOCK.findall(text):
        if language in SHELLS:
            yield from (line for line in re.sub(r"\\\n\s*", "", block).splitlines() if line and line[0] not in "# ")
    yield from re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of ours that is whole, without variables in front of it."""
    for line in lines(page):
        if not re.search(r"hotpath|make|pytest|python", line):
            continue
        for command in re.split(r" && | \| |; ", re.sub(r"\s+#.*", "", line)):
            words = shlex.split(command.replace("'", " "))
            while words and VARIABLE.match(words[0]):
                del words[0]
            is_make = words[:1] == ["make"] and all(TARGET.match(word) for word in words[1:])
            if len(words) > 1 and (PROGRAM.match(words[0]) or is_make) and "…" not in command:
                yield [Path(words[0]).name, *words[1:]]


@cache
def entry_points() -> dict[str, str]:
    """The module of each installed command of ours."""
    return {point.name: point.module for point in distribution("hotpath").entry_points
            if point.group == "console_scripts"}


def understand(program: str, *words: str) -> None:
    """Whether it would begin. SystemExit, AssertionError or KeyError where not."""
    if program == "make":
        targets = [word for word in words if not VARIABLE.match(word)]
        given = dict(word.split("=", 1) for word in words if VARIABLE.match(word))
        subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, check=True)
        if targets == ["bench"] and "ARGS" in given:
            subject, *flags = given["ARGS"].split()
            parser = ArgumentParser()
            SUBJECTS[subject].add_arguments(parser)
            parser.parse_args(flags)
        if "SYSTEM" in given:
            assert set(given["SYSTEM"].split("|")) <= SYSTEMS.keys()
    elif program == "pytest":
        assert (ROOT / words[0]).exists()
    elif program.startswith("python"):
        module = words[words.index("-m") + 1].replace(".", "/") if "-m" in words else ""
        assert module in ("", "venv", "pytest") or any(
            (ROOT / file).exists() for file in (f"{module}.py", f"{module}/__main__.py"))
    elif "--help" not in words and "--version" not in words:
        import_module(entry_points()[program]).arguments(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_exists_and_takes_its_flags(page, capsys):
    wrong = {}
    for words in commands(page):
        try:
            understand(*words)
        except (SystemExit, AssertionError, KeyError, OSError, subprocess.CalledProcessError) as error:
            wrong[" ".join(words)] = capsys.readouterr().err or repr(error)
    assert wrong == {}


def test_a_command_that_nobody_has_is_found_out(capsys):
    for words in (["hotpath-shard", "grow", "s3"], ["hotpath-shard", "add", "s3", "--quick"], ["hotpath-proxy", "-t"]):
        with pytest.raises(SystemExit):
            understand(*words)
    with pytest.raises(SystemExit):
        understand("make", "bench", "ARGS=reload --minutes 1")
    for words in (["hotpath-x", "serve"], ["make", "bench", "ARGS=nothing"]):
        with pytest.raises(KeyError):
            understand(*words)
    with pytest.raises(subprocess.CalledProcessError):
        understand("make", "coffee")
    capsys.readouterr()


def test_commands_are_found_wherever_they_stand():
    found = [words for page in PAGES for words in commands(page)]
    assert {words[0] for words in found} >= {*entry_points(), "make", "python", "pytest"}
    assert len(found) > 60


@pytest.mark.parametrize(("page", "word"), [
    ("README.md", "front.yaml"), ("README.md", "hotpath-shard serve"), ("docs/crdt.md", "--replica a"),
])
def test_a_block_runs_as_printed(page, word, tmp_path, monkeypatch):
    """But on ports of its own, and with a curl that fails where the answer is an error."""
    blocks = BLOCK.findall((ROOT / page).read_text())
    block, = [text for language, text in blocks if not language and word in text]
    (tmp_path / ".curlrc").write_text("fail\nsilent\n")
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ports = {port: f"127.0.0.1:{free_port()}" for port in re.findall(r"127\.0\.0\.1:\d+", block)}

    def moved(text: str) -> str:
        text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        return re.sub(r"127\.0\.0\.1:\d+", lambda found: ports.get(found[0], found[0]), text)

    for language, text in blocks:
        if language == "yaml" and (name := re.match(r"# (\S+)\n", text)):
            (tmp_path / name[1]).write_text(moved(text))
    with ExitStack() as servers:
        for line in block.splitlines():
            command = moved(re.sub(r"\s+#.*", "", line))
            if NOT_RUN.search(line):
                continue
            if SERVES.search(line):
                listen = ["--listen", ports[DEFAULT_OF_SHARD]] if line.endswith("/v1/tables") else []
                servers.enter_context(launched([*shlex.split(command), *listen]))
            elif " -N " in line:        # it goes on for ever: its first words are enough
                with subprocess.Popen(["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE) as asking:
                    assert asking.stdout is not None
                    assert asking.stdout.readline()
                    asking.kill()
            else:
                assert subprocess.run(["bash", "-euc", command], capture_output=True, check=True).stdout
