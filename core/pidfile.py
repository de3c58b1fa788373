"""The file that says which process to send signals to."""
from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .errors import ConfigError


class PidFile:
    """Holds our pid at one path, or nowhere. Two masters may share the path: the last to write owns it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._text = f"{os.getpid()}\n"

    def move(self, path: str | None) -> None:
        """Be at `path` from now on; None: nowhere. ConfigError when it cannot be written."""
        if self._path is not None and path != str(self._path):
            self.remove()
        self._path = Path(path) if path else None
        self.write()

    def write(self) -> None:
        """Write it, whole or not at all; ConfigError when it cannot be written."""
        if self._path is None:
            return
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            beside.write_text(self._text)
            beside.replace(self._path)
        except OSError as error:
            raise ConfigError("", 0, "pid_file", f"cannot write {self._path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove it if it still names us."""
        if self._path is None:
            return
        # Missing, or out of reach: nothing of ours is left there.
        with suppress(OSError):
            if self._path.read_text() == self._text:
                self._path.unlink()
