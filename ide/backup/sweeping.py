"""Remove from the store what no kept backup needs.

A content goes only if it is older than a day: one that a backup under way has just sent is younger, and one that it
found there is named by the newest manifest or was sent again. So two servers may back up and sweep one project.
"""
from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from .manifest import Damaged, decoded
from .store import Store, Stored

log = logging.getLogger(__name__)

MIN_AGE = timedelta(days=1)
# One sweep removes so many; the next one goes on.
MAX_REMOVED = 1000


def drop_old_manifests(store: Store, manifests: Mapping[int, Stored], keep: int) -> list[int]:
    """Remove all but the newest `keep`; the numbers of those that stay."""
    numbers = sorted(manifests)
    for number in numbers[:-keep]:
        store.remove(f"manifests/{number:08}.json")
    return numbers[-keep:]


def sweep(store: Store, blobs: Mapping[str, datetime], kept: list[int], now: datetime) -> int:
    """Remove old contents that no kept manifest names; how many. `blobs` was listed before `kept` was.

    Nothing is removed while a kept manifest cannot be read. Raises BackupFailed.
    """
    spare = {digest for digest, since in blobs.items() if now - since > MIN_AGE}
    for number in reversed(kept):
        if not spare:
            return 0
        found = store.get(f"manifests/{number:08}.json")
        if found is None:
            continue            # another server dropped it
        try:
            spare -= decoded(found[0]).blobs
        except Damaged as error:
            log.error("backup: no sweep, as manifest %d is damaged: %s", number, error)
            return 0
    removed = 0
    for digest in sorted(spare)[:MAX_REMOVED]:
        since = store.age_of_blob(digest)           # another server may have sent it again just now
        if since is not None and now - since > MIN_AGE:
            store.remove(f"blobs/{digest}")
            removed += 1
    return removed
