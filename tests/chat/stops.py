"""Places where a process of the product can be made to stand still: between a commit and its answer, for example.

A test arms a stop by name; the first process that comes by is held, and says so, until the test lets it go or kills
it. Who comes later passes. All by files in one folder, so it works across processes.
"""
from __future__ import annotations

import os
import select
import time
from pathlib import Path

from tests.waiting import wait_for

VARIABLE = "HOTPATH_TEST_STOPS"
# A test that dies must not leave its processes standing for ever.
PATIENCE_S = 60.0


class Stops:
    """The test's end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @property
    def env(self) -> dict[str, str]:
        """What the processes need to know."""
        return {VARIABLE: str(self.folder)}

    def arm(self, name: str) -> None:
        """Hold the next one that comes by."""
        for suffix in ("held", "go"):
            (self.folder / f"{name}.{suffix}").unlink(missing_ok=True)
        (self.folder / f"{name}.armed").touch()

    def is_held(self, name: str) -> int:
        """The pid that stands there; 0: none."""
        path = self.folder / f"{name}.held"
        text = path.read_text() if path.exists() else ""
        return int(text) if text else 0

    def held(self, name: str) -> int:
        """Wait until one stands there; its pid."""
        return wait_for(lambda: self.is_held(name), f"somebody held at {name}")

    def release(self, name: str) -> None:
        """Let it go on."""
        (self.folder / f"{name}.armed").unlink(missing_ok=True)
        (self.folder / f"{name}.go").touch()


def stop(name: str) -> None:
    """The product's end: stand still if the test wants it."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    try:
        # Only one of several that come by at once gets the file.
        os.rename(f"{folder}/{name}.armed", f"{folder}/{name}.held")
    except FileNotFoundError:
        return
    with open(f"{folder}/{name}.held", "w") as file:
        file.write(str(os.getpid()))
    deadline_s = time.monotonic() + PATIENCE_S
    while not os.path.exists(f"{folder}/{name}.go") and time.monotonic() < deadline_s:
        select.select([], [], [], 0.002)
