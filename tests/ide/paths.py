"""Folders of tests that another user may walk to."""
from __future__ import annotations

from pathlib import Path


def open_the_way_to(folder: Path) -> None:
    """pytest's folders are for their owner alone."""
    for one in (folder, *folder.parents[:-1]):
        if not one.stat().st_mode & 1:
            one.chmod(one.stat().st_mode | 0o11)
