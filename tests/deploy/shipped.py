"""What deploy/ ships, as a test may use it: units and configurations, with their places moved into a folder."""
from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
COMPOSE = DEPLOY / "compose"
BIN = Path(sys.executable).parent

NAMES = tuple(sorted(path.stem for path in UNITS.glob("*.service")))


def settings(unit: Path, section: str = "Service") -> Iterator[tuple[str, str]]:
    """Each line `KEY=VALUE` of a section."""
    inside = False
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            inside = line == f"[{section}]"
        elif inside and re.match(r"[A-Z]\w*=", line):
            key, _, value = line.partition("=")
            yield key, value


def commands(name: str, key: str) -> list[list[str]]:
    """The command lines of a unit, on our own programs."""
    found = [shlex.split(value) for told, value in settings(UNITS / f"{name}.service") if told == key]
    return [[word.replace("/opt/hotpath/bin", str(BIN)) for word in words] for words in found]


def moved(folder: Path, files: Path, **places: str) -> Path:
    """A copy of configurations in `folder`, in whose text each place of `places` is another one."""
    into = folder / "config"
    into.mkdir()
    for path in files.glob("*.yaml"):
        text = path.read_text()
        for old, new in places.items():
            text = text.replace(old, new)
        (into / path.name).write_text(text)
    return into


def copied_units(folder: Path) -> list[Path]:
    """The units with their drop-ins, on our own programs."""
    into = folder / "units"
    shutil.copytree(UNITS, into)
    for unit in into.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/hotpath/bin", str(BIN)))
    return sorted(into.glob("*.service"))
