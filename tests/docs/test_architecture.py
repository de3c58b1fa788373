"""The tree that ARCHITECTURE.md shows is the tree."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
SECTIONS = {"core": "core, file by file", "core/serve": "serve, file by file", "hotpath": "The house", **{
    name: f"{name}, file by file" for name in ("proxy", "crdt", "shard", "chat", "ide", "locking")}}
# What each package has.
EVERYWHERE = {"__init__", "__main__"}


def section(folder: str) -> str:
    return TEXT.split(f"\n## {SECTIONS[folder]}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("folder", SECTIONS)
def test_what_is_shown_is_there(folder):
    shown = [name for cell in re.findall(r"^\| (`[^|]*`) \|", section(folder), re.MULTILINE)
             for name in re.findall(r"`([^`]+)`", cell)]
    assert len(shown) > 5
    assert [name for name in shown if not any(
        (ROOT / folder / f"{name}{end}").exists() for end in ("", ".py", ".pyx", ".pxd"))] == []


@pytest.mark.parametrize("folder", SECTIONS)
def test_what_is_there_is_shown(folder):
    """Files that lie in the package itself; of its folders the text tells what it likes."""
    shown = {Path(name).stem for name in re.findall(r"`([\w./]+)`", section(folder))}
    there = {path.stem for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".pyx")}
    assert there - shown - EVERYWHERE == set()


def test_the_folders_are_there():
    folders = TEXT.split("\n## The folders\n")[1].split("\n## ")[0]
    shown = [name for cell in re.findall(r"^\| (`[^|]*`) \|", folders, re.MULTILINE)
             for name in re.findall(r"`(\S+)/`", cell)]
    assert len(shown) > 10
    assert [folder for folder in shown if not (ROOT / folder).is_dir()] == []
