"""The configuration reference says what the classes say, and each key has words."""
from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import pytest

from hotpath.core.config import OFF, ONE_OR_MANY, Address, Duration, Rate, Section, Size

FOLDER = Path(__file__).parents[2] / "docs"
PROGRAM = FOLDER / "reference.py"
REFERENCE = runpy.run_path(str(PROGRAM), run_name="reference")


def renew(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", str(PROGRAM), *argv], capture_output=True, text=True, check=False)


def test_the_pages_are_fresh_and_each_key_has_words():
    done = renew("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_page_is_named_and_renewed(tmp_path):
    for page in FOLDER.glob("*.md"):
        shutil.copy(page, tmp_path)
    stale = tmp_path / "crdt.md"
    fresh = stale.read_text()
    stale.write_text(fresh.replace("| `sync.push` |", "| `sync.shove` |"))
    done = renew("--check", "--folder", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"{stale}: stale; `make docs` renews it\n")
    assert renew("--folder", str(tmp_path)).returncode == 0
    assert stale.read_text() == fresh


class Below(Section, frozen=True):
    """Stands in a list.

    No more of this is told.
    """

    short: ClassVar = "at"

    at: Address     # where it is
    weight: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1  # its share
    silent: bool = False


class Base(Section, frozen=True):
    """Below the whole."""

    wait: Duration = 0.25       # for the base
    # which way,
    # in two lines
    way: Literal["up", "down"] = "up"


class Whole(Base, frozen=True):
    """All kinds of keys."""

    wait: Duration = 60.0
    rate: Rate | None = None      # how fast
    room: Annotated[Size | None, OFF] = None    # how large
    bound: Annotated[Size, msgspec.Meta(ge=1024, le=2**20)] = 4096     # how large, too
    some: Annotated[tuple[Address, ...], ONE_OR_MANY] = (Address("127.0.0.1", 80),)    # one or many
    many: tuple[Below, ...] = ()


def told(model: type[Section]) -> dict[str, tuple[str, str, str]]:
    return {key.path: (key.allowed, key.default, key.words) for part in REFERENCE["parts"](model) for key in part.keys}


def test_a_key_is_told_with_what_it_may_be_its_default_and_its_words():
    assert told(Whole) == {
        "wait": ("duration", "`1m`", "for the base"),
        "way": ("down, up", "`up`", "which way, in two lines"),
        "rate": (f"{Rate.forms}; or null", "`null`", "how fast"),
        "room": ("size or off", "`off`", "how large"),
        "bound": ("size, 1k to 1m", "`4k`", "how large, too"),
        "some": (f"{Address.forms}; or a list", "`127.0.0.1:80`", "one or many"),
        "many": ("a list of: a section, or its at alone", "`[]`", "Stands in a list."),
        "many[].at": (Address.forms, "must be given", "where it is"),
        "many[].weight": ("a whole number from 1 to 9", "`1`", "its share"),
        "many[].silent": ("true or false", "`false`", ""),
    }


def test_a_key_without_words_is_named():
    assert REFERENCE["wordless"](Whole) == ["many[].silent"]


def test_a_page_without_a_place_for_it_is_refused():
    with pytest.raises(ValueError, match="it has no"):
        REFERENCE["renewed"]("# nothing", Whole)
