"""Back up, list, restore: one server's dealings with the bucket."""
from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import BackupFailed, NoBackup, NoRoom, NotFound

from . import restoring
from .gathering import Gathering, Known
from .manifest import Damaged, Manifest, decoded, encoded
from .store import Opener, Store, Stored, Taken
from .sweeping import drop_old_manifests, sweep

log = logging.getLogger(__name__)

# How often a number can be somebody else's before we give up.
TRIES = 5
# Contents that no manifest we know of names are sent again from this age on: at a day they may be swept.
TRUSTED = timedelta(hours=12)
SWEEP_EVERY_S = 3600.0
# Hashes of unchanged files that are remembered, of all projects together; each is some 400 bytes.
MAX_KNOWN = 200_000


class Backups:
    """All methods block; use one in any thread."""

    def __init__(self, config: IdeConfig, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since the epoch."""
        self._config = config.backup
        self._room = (config.sandbox.disk, config.sandbox.files)
        self._now = now
        self._opener = Opener(config.backup)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._swept: dict[str, float] = {}
        self._last: dict[str, dict[str, Any]] = {}      # the newest that we know of, for when the store is silent

    @property
    def configured(self) -> bool:
        """Whether there is a bucket."""
        return bool(self._config.bucket)

    def run(self, id: str, facts: Mapping[str, Any], root: Path, ignore: Collection[str]) -> dict[str, int]:
        """Copy the folder; `{seq, files, bytes, uploaded}`, `uploaded` being contents that the store had not.

        When it returns, the manifest and all it names are in the store. `facts`: template and run. Raises NoBackup,
        BackupFailed.
        """
        store = self._store(id)
        for _ in range(TRIES):
            manifests, blobs = store.manifests(), store.blobs()
            newest = max(manifests, default=0)
            gathered = self._gather(store, id, root, ignore, self._trusted(store, newest, blobs))
            manifest = Manifest(facts["template"], facts["run"], gathered.files)
            try:
                self._put(store, newest + 1, manifest)
            except Taken:
                log.warning("backup id=%s: number %d was taken, again", id, newest + 1)
                continue
            self._last[id] = {"seq": newest + 1, "time": moment(datetime.fromtimestamp(self._now(), UTC)),
                              "files": manifest.n_files, "bytes": manifest.n_bytes}
            self._tidy(store, id)
            return {"seq": newest + 1, "files": manifest.n_files, "bytes": manifest.n_bytes,
                    "uploaded": gathered.uploaded}
        raise BackupFailed(f"others back up {id} to the same place, more often than we can; only one server should")

    def list(self, id: str) -> list[dict[str, Any]]:
        """`{seq, time, files, bytes}` of each, the newest first.

        Raises NoBackup, BackupFailed: its `last` is the newest that we know of, if we know of any.
        """
        try:
            store = self._store(id)
            manifests = store.manifests()
            with ThreadPoolExecutor(8, "backups") as pool:
                told = pool.map(lambda item: self._told(store, *item), reversed(manifests.items()))
                listed = [one for one in told if one is not None]
        except BackupFailed as error:
            raise BackupFailed(error.detail, last=self._last.get(id)) from error
        if listed:
            self._last[id] = listed[0]
        return listed

    def restore(self, id: str, seq: int | None, target: Path, owner: restoring.Owner) -> dict[str, Any]:
        """Make the folder `target` (none yet, or an empty one) of a backup, the newest if `seq` is None.

        `{"template", "run", "seq"}`. Raises NoBackup, NotFound, BackupFailed, NoRoom; then nothing is left in it.
        """
        store = self._store(id)
        if seq is None:
            seq = max(store.manifests(), default=0)
        found = store.get(name_of(seq)) if 0 < seq < 10**8 else None
        if found is None:
            raise NotFound(f"there is no backup of {id}" + (f" with the number {seq}" if seq else ""))
        try:
            manifest = decoded(found[0])
        except Damaged as error:
            raise BackupFailed(f"backup {seq} of {id} is damaged, or somebody changed it: {error}; take another "
                               "one") from error
        disk, files = self._room
        if manifest.n_bytes > disk or len(manifest.files) > files:
            raise NoRoom(f"backup {seq} of {id} has {manifest.n_bytes} bytes in {len(manifest.files)} files; allowed: "
                         f"{disk} in {files} (sandbox.disk, sandbox.files)")
        restoring.build(manifest, target, owner, store.read_blob)
        return {"template": manifest.template, "run": manifest.run, "seq": seq}

    def _store(self, id: str) -> Store:
        if not self.configured:
            raise NoBackup("no bucket is configured (backup.bucket)")
        return Store(self._opener, self._config, id)

    def _trusted(self, store: Store, newest: int, blobs: Mapping[str, datetime]) -> set[str]:
        """Contents that are there and will be as long as we need them: see `sweeping`."""
        named: set[str] = set()
        if newest and (found := store.get(name_of(newest))) is not None:
            try:
                named = decoded(found[0]).blobs
            except Damaged as error:
                log.error("backup: manifest %d is damaged: %s", newest, error)
        now = datetime.fromtimestamp(self._now(), UTC)
        return {digest for digest, since in blobs.items() if digest in named or now - since < TRUSTED}

    def _gather(self, store: Store, id: str, root: Path, ignore: Collection[str], stored: set[str]) -> Gathering:
        with self._lock:
            known = self._known.get(id, {})
        gathering = Gathering(known, stored, lambda digest, content: store.put_blob(digest, content.body, content.md5))
        gathering.run(root, ignore)
        with self._lock:
            self._known[id] = gathering.known
            self._known.move_to_end(id)
            while sum(map(len, self._known.values())) > MAX_KNOWN:
                self._known.popitem(last=False)
        return gathering

    def _put(self, store: Store, seq: int, manifest: Manifest) -> None:
        """The manifest, and then HEAD. Raises Taken, BackupFailed."""
        data, mark = encoded(manifest), uuid.uuid4().hex
        facts = {"files": str(manifest.n_files), "bytes": str(manifest.n_bytes), "mark": mark}
        try:
            store.put(name_of(seq), data, replaces=None, metadata=facts)
        except Taken:
            # Perhaps by ourselves: the answer was lost, and the request made again.
            if store.metadata(name_of(seq)).get("mark") != mark:
                raise
        found = store.get(name_of(seq))
        if found is None or found[0] != data:
            raise BackupFailed(f"the store has another manifest {seq} than was put there")
        for _ in range(TRIES):
            head = store.get("HEAD")
            if head is not None and seq_in(head[0]) >= seq:
                return
            try:
                store.put("HEAD", json.dumps({"seq": seq}).encode(), replaces=None if head is None else head[1])
                return
            except Taken:
                continue
        raise BackupFailed("HEAD in the store is written by others all the time; only one server should back up a "
                           "project")

    def _tidy(self, store: Store, id: str) -> None:
        """The backup stands; that the store cannot be tidied is nobody's loss."""
        try:
            now = self._now()
            due = now - self._swept.get(id, 0.0) >= SWEEP_EVERY_S
            blobs = store.blobs() if due else {}
            kept = drop_old_manifests(store, store.manifests(), self._config.keep)
            if due:
                self._swept[id] = now
                removed = sweep(store, blobs, kept, datetime.fromtimestamp(now, UTC))
                if removed:
                    log.info("backup id=%s: swept contents=%d", id, removed)
        except BackupFailed as error:
            log.warning("backup id=%s: not tidied: %s", id, error.detail)

    def _told(self, store: Store, seq: int, stored: Stored) -> dict[str, Any] | None:
        try:
            counts = store.metadata(name_of(seq))
            files, size = int(counts["files"]), int(counts["bytes"])
        except (KeyError, ValueError):              # copied by something that leaves metadata behind
            found = store.get(name_of(seq))
            if found is None:
                return None
            try:
                manifest = decoded(found[0])
            except Damaged:
                return None
            files, size = manifest.n_files, manifest.n_bytes
        return {"seq": seq, "time": moment(stored.time), "files": files, "bytes": size}


def moment(time: datetime) -> str:
    """In UTC (RFC 3339), to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def name_of(seq: int) -> str:
    """A manifest's name in the store."""
    return f"manifests/{seq:08}.json"


def seq_in(head: bytes) -> int:
    """The number in HEAD; 0 for what is none of ours."""
    try:
        return int(json.loads(head)["seq"])
    except (ValueError, TypeError, KeyError):
        return 0
