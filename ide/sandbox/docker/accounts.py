"""A name for the user that programs run as, whatever the image knows: prompts and git ask for it."""
from __future__ import annotations

import os
from pathlib import Path

from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox.environment import USER

from .container import WORKSPACE

SHELL = "/bin/bash"


def written(folder: Path, uid: int, gid: int) -> dict[str, Path]:
    """Where in a container which file of ours goes; they are written below `folder` if they are not there yet.

    A file never changes: what is mounted would stay as it was. Raises SandboxFailed.
    """
    texts = {
        "passwd": f"root:x:0:0::/:/usr/sbin/nologin\n{USER}:x:{uid}:{gid}::{WORKSPACE}:{SHELL}\n"
                  "nobody:x:65534:65534::/:/usr/sbin/nologin\n",
        "group": f"root:x:0:\n{USER}:x:{gid}:\nnogroup:x:65534:\n"}
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        return {f"/etc/{name}": _written(folder / f"{name}-{uid}-{gid}", text) for name, text in texts.items()}
    except OSError as error:
        raise SandboxFailed(f"{folder} cannot be written: {error.strerror}") from None


def _written(path: Path, text: str) -> Path:
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="ascii")
        fresh.chmod(0o644)
        fresh.replace(path)
    return path
