"""Building what is missing, or was made from an older recipe; everything else is left alone."""
from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hotpath.ide.errors import SandboxFailed

from . import base
from .recipes import FOLDER, Recipe

if TYPE_CHECKING:
    import docker

STEP = 100          # characters of a step that a person is told
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def build(client: docker.DockerClient, recipe: Recipe, say: Callable[[str], None]) -> bool:
    """Whether there was anything to do; `say` hears of each step. Raises SandboxFailed, or the library's errors."""
    with _alone():
        return _build(client, recipe, say)


def _build(client: docker.DockerClient, recipe: Recipe, say: Callable[[str], None]) -> bool:
    if label(client, recipe.image) == recipe.hash:
        return False
    if recipe.parent is not None:
        _build(client, recipe.parent, say)
    elif label(client, f"{base.REPOSITORY}:{base.TAG}") != base.HASH:
        say(f"{base.REPOSITORY}:{base.TAG}: making a bare Debian")
        base.make(client)
    with tempfile.TemporaryDirectory(prefix="hotpath-image-") as scratch:
        folder = Path(scratch, "context")
        shutil.copytree(recipe.folder, folder)
        if recipe.npm:
            say(f"{recipe.image}: fetching {', '.join(name.replace('-{arch}', '') for name in recipe.npm)}")
            recipe.fetch(folder)
        said: list[str] = []
        for event in client.api.build(
                path=str(folder), tag=recipe.image, network_mode="host", rm=True, forcerm=True, decode=True,
                labels={base.LABEL: recipe.hash}, timeout=int(base.MINUTES_S),
                buildargs={name: os.environ[name] for name in PROXIES if name in os.environ}):
            if "error" in event:
                raise SandboxFailed(f"{recipe.image}: {event['error']}: {' / '.join(said[-5:])}")
            line = str(event.get("stream", "")).strip()
            if line.startswith("Step "):
                say(f"{recipe.image}: {textwrap.shorten(line, STEP, placeholder=' …')}")
            elif line and not line.startswith(("--->", "Removing ")):
                said.append(line)
    return True


def label(client: docker.DockerClient, image: str) -> str | None:
    """What the image says that it was built from; None: it is not there, or somebody else's."""
    from docker.errors import ImageNotFound
    try:
        found = client.images.get(image).labels.get(base.LABEL)
    except ImageNotFound:
        return None
    return None if found is None else str(found)


@contextmanager
def _alone() -> Iterator[None]:
    """Two that build at once build one image."""
    fd = os.open(FOLDER / "shell/Dockerfile", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
