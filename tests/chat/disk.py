"""A disk that takes its time or forgets what was not synced, put before a process by LD_PRELOAD."""
from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

SOURCE = Path(__file__).with_name("disk.h")


@cache
def library() -> Path:
    """The built library; once per run."""
    target = Path(mkdtemp(prefix="hotpath-disk-")) / "disk.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(target), "-x", "c", str(SOURCE),
                    "-ldl"],
                   check=True)
    return target


class Disk:
    """The processes that get `env` sync to it; files below `of` are those it may lose."""

    def __init__(self, folder: Path, of: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.control, self.synced, self.of = folder / "sync-ms", folder / "synced", of.resolve()
        self.synced.mkdir()
        self.takes(0)

    @property
    def env(self) -> dict[str, str]:
        """What puts it before a process and its children."""
        return {"LD_PRELOAD": str(library()), "DISK_CONTROL": str(self.control), "DISK_SYNCED": str(self.synced),
                "DISK_OF": str(self.of)}

    def takes(self, ms: int) -> None:
        """From now on each sync takes so long."""
        fresh = self.control.with_suffix(".new")
        fresh.write_text(str(ms))
        os.replace(fresh, self.control)

    def after_power_cut(self, target: Path) -> Path:
        """A folder with what was synced by now, as the machine would find it."""
        target.mkdir(parents=True)
        for path in self.synced.iterdir():
            # What was deleted stays away: an old rollback journal would be rolled back.
            if path.suffix != ".new" and (self.of / path.name).is_file():
                shutil.copy(path, target / path.name)
        return target
