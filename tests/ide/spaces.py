"""A workspace on a loop of its own, with real sandboxes, for one function."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hotpath.core.config import loads
from hotpath.core.net.loop import Loop
from hotpath.core.tasks import run, sleep
from hotpath.core.tasks.task import kept_by_loop
from hotpath.ide.config import IdeConfig, located
from hotpath.ide.sandbox.choosing import open_sandbox
from hotpath.ide.workspace.workspace import Workspace
from tests.ide.paths import open_the_way_to

T = TypeVar("T")

QUICK = """
preview: {listen: 127.0.0.1:0}
templates:
  bare: {title: Bare, image: "hotpath/base:bookworm", run: "echo ran", files: {a.txt: "one\\n"}}
"""


class _Found:
    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def close(self) -> None:
        pass


def in_workspace(folder: Path, work: Callable[[Workspace], T], more: str = "", *, sandbox: str = "") -> T:
    """`work(workspace)` in a task; then all its projects are stopped, and it is closed."""
    folder.mkdir(exist_ok=True)
    open_the_way_to(folder)
    text = f"sandbox: {{kind: process{sandbox}}}{QUICK}{more}"
    config = located(loads(text, IdeConfig), str(folder / "ide.yaml"))

    def main() -> T:
        workspace = Workspace(config, open_sandbox(config))
        workspace.attach(kept_by_loop("tests.loop", _Found).loop)
        workspace.open()
        try:
            return work(workspace)
        finally:
            for project in workspace.projects():
                project.stop()
            workspace.close()

    return run(main)


def until(condition: Callable[[], T], what: str, within_s: float = 30.0) -> T:
    """In a task: what `condition()` answers, once that is true."""
    deadline_s = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() > deadline_s:
            raise AssertionError(f"still waiting for {what}")
        sleep(0.01)
    return answer
