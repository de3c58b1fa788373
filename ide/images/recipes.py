"""Which images we can build: a folder with a Dockerfile each, and what is fetched for it beforehand."""
from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hotpath.ide.errors import SandboxFailed

from . import base

FOLDER = Path(__file__).with_name("image")
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}      # as uname and as npm say it


@dataclass(frozen=True)
class Recipe:
    """An image of ours; None as `parent`: it stands on the bare Debian."""

    name: str
    parent: Recipe | None = None
    npm: tuple[str, ...] = ()           # packages that are put into `node_modules` beside the Dockerfile

    @property
    def image(self) -> str:
        """What the engine calls it."""
        return f"hotpath/{self.name}:local"

    @property
    def folder(self) -> Path:
        """What is sent to the engine."""
        return FOLDER / self.name

    @cached_property
    def hash(self) -> str:
        """Of all that it is made from: another hash, another image."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        words = (self.parent.hash if self.parent is not None else base.HASH, *self.npm)
        return base.digest(*(word.encode() for word in words), *(path.read_bytes() for path in files))

    def fetch(self, into: Path) -> None:
        """Put the packages there. Raises SandboxFailed."""
        if self.npm:
            base.run(("npm", "install", f"--prefix={into}", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts",
                      *(name.format(arch=_architecture()) for name in self.npm)), into)


def _architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise SandboxFailed(f"no Node.js is fetched for {machine}; give the template an image of your own")
    return ARCHITECTURES[machine]


SHELL = Recipe("shell")
RECIPES: Mapping[str, Recipe] = {recipe.image: recipe for recipe in (
    SHELL,
    Recipe("python", SHELL),
    Recipe("node", SHELL, npm=("node-linux-{arch}@22", "npm@10")),
)}
