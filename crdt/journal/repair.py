"""A damaged file steps aside, and what was good in it before the damage stays."""
from __future__ import annotations

import itertools
import logging
from pathlib import Path

from hotpath.core.data import records

from .disk import Disk, publish, write_beside
from .errors import DamagedJournal
from .layout import HEADER_BYTES, Layout, Owner

log = logging.getLogger(__name__)


def set_aside(disk: Disk, layout: Layout, owner: Owner, damage: DamagedJournal) -> Path | None:
    """Keep the damaged file under another name, put a sound one in its place. Where it is now; None: it was missing.

    Nothing behind the damage is kept: where a record ends is then a guess, and a value may look like one.
    """
    path = damage.file
    if path.suffix == ".lww":
        sound = owner.empty_delta()
    else:
        sound = owner.first_group(0, 0)
        if path.exists() and (data := path.read_bytes())[:HEADER_BYTES] == owner.header():
            end = records.check(data, HEADER_BYTES)[0]
            sound = data[:end] + owner.commit(end)
    kept = _free_name(path) if path.exists() else None
    disk.close(write_beside(disk, path, sound))
    if kept is not None:
        disk.link(path, kept)       # a second name before it loses the first: at no moment it has none
    publish(disk, path)
    log.error("event=set_aside file=%s offset=%d kept=%s", path, damage.offset, kept)
    return kept


def _free_name(path: Path) -> Path:
    for n in itertools.count(1):
        name = path.with_name(f"{path.name}.{n}.damaged")
        if not name.exists():
            return name
    raise AssertionError("count ends never")
