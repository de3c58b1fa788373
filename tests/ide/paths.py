"""Folders of tests that another user may walk to."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def open_the_way_to(folder: Path) -> None:
    """pytest's folders are for their owner alone."""
    for one in (folder, *folder.parents[:-1]):
        if not one.stat().st_mode & 1:
            one.chmod(one.stat().st_mode | 0o11)


@contextmanager
def public_folder() -> Iterator[Path]:
    """An empty one while the block runs; pytest closes its own again whenever another run of it begins."""
    with TemporaryDirectory(prefix="hotpath-ide-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
