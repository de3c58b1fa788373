"""DATA/secret: what previews' addresses are made of, so that they stay the same and nobody guesses them."""
from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from hotpath.core.durable import sync_folder

BYTES = 32
NAME = "secret"


def secret(folder: Path) -> bytes:
    """32 random bytes, made at the first start. Raises OSError, ValueError: the file holds something else."""
    return bytes.fromhex(kept(folder / NAME, secrets.token_hex(BYTES)))


def kept(path: Path, new: str) -> str:
    """The line in the file, readable for us alone; `new` is put there if there is none. Raises OSError."""
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(f"{new}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):     # whoever was first wins
            os.link(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return path.read_text().strip()
