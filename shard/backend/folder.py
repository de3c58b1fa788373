"""The data directory of a cluster: which one it belongs to, and who works in it now."""
from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from hotpath.core.durable import write_private

from .errors import Busy, CannotStart, Taken
from .waiting import POLL_S

MARKER = ".hotpath-shard"       # says whose a directory is
LOCK = ".lock"
LEFT = ("carrier.log",)         # by commands


class _Marker(msgspec.Struct):
    cluster: str
    backend: str
    home: str | None = None     # where the map is: on the server of this shard, or in a file; None: where `meta` says


# Made once, at import: msgspec crashes when two threads are the first to decode a type at the same time.
_MARKER = msgspec.json.Decoder(_Marker)


class Folder:
    """DATA of one cluster. Any thread may use it."""

    def __init__(self, path: Path, cluster: str, backend: str) -> None:
        self.path = path
        self._cluster = cluster
        self._backend = backend
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def exclusive(self, deadline_s: float) -> Iterator[None]:
        """No other process and no other thread is in here. Enter it again as you like. Raises CannotStart, Taken."""
        if not self._thread.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            raise self._busy()
        try:
            if self._depth:
                yield
                return
            fd = self._locked(deadline_s)
            self._depth = 1
            try:
                yield
            except OSError as error:        # a full disk, a lost right
                raise CannotStart(f"{error.filename or self.path}: {error.strerror or error}") from error
            finally:
                self._depth = 0
                os.close(fd)
        finally:
            self._thread.release()

    def _locked(self, deadline_s: float) -> int:
        while True:
            fd = self._opened()
            try:
                while not _lock(fd):
                    if time.monotonic() > deadline_s:
                        raise self._busy()
                    time.sleep(POLL_S)
                if not self._is_gone(fd):
                    self._check_marker()
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)        # a purge was before us

    def _opened(self) -> int:
        try:
            while True:
                # Servers under another user must be able to reach what is theirs below it.
                self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
                try:
                    return os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except FileNotFoundError:
                    if (self.path / LOCK).is_symlink():     # to nowhere; else a purge came in between
                        raise
        except OSError as error:
            raise CannotStart(f"data: {self.path} cannot be used: {error.strerror}; allowed: a directory of yours, or "
                              "one to be made") from None

    def _is_gone(self, fd: int) -> bool:
        ours = os.fstat(fd)
        try:
            there = os.stat(self.path / LOCK)
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _busy(self) -> Busy:
        return Busy(f"{self.path}: another command has been starting or stopping servers here for too long; "
                           "wait for it, or end it")

    def _check_marker(self) -> None:
        marker = self._marker()
        if marker is not None and (marker.cluster, marker.backend) != (self._cluster, self._backend):
            raise Taken(f"{self.path} belongs to the cluster {marker.cluster!r} with backend {marker.backend}, not to "
                        f"{self._cluster!r} with {self._backend}; name another directory with `data`")

    def _marker(self) -> _Marker | None:
        path = self.path / MARKER
        try:
            return _MARKER.decode(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise CannotStart(f"{path} cannot be read: {error}; it says whose the directory is") from None

    @property
    def is_ours(self) -> bool:
        """Whether we have claimed it."""
        return self._marker() is not None

    def claim(self, names: tuple[str, ...], home: str | None = None) -> None:
        """Make the directory ours; call it in `exclusive`. Raises Taken if one of `names` stands in it already.

        `home`: where the map is to be, now and for ever, whatever the configuration says later; None: elsewhere.
        """
        if self.is_ours:
            return
        for name in names:
            if os.path.lexists(self.path / name):
                raise Taken(f"{self.path / name} is there already, and no cluster of ours made it; move it away, or "
                            "name another directory with `data`")
        write_private(self.path / MARKER, msgspec.json.encode(_Marker(self._cluster, self._backend, home)))

    def room(self, name: str) -> Path:
        """The directory of one shard."""
        return self.path / name

    def check_room(self, name: str) -> None:
        """Raises Taken if something stands there that we did not put there. An empty directory is nobody's."""
        room = self.room(name)
        if os.path.lexists(room) and not (room / MARKER).is_file() and (not room.is_dir() or any(room.iterdir())):
            raise Taken(f"{room} is there already, and no shard of ours; move it away, or take another name")

    def make_room(self, name: str) -> Path:
        """Make it, with the mark that says whose it is."""
        room = self.room(name)
        room.mkdir(mode=0o755, exist_ok=True)
        (room / MARKER).touch(mode=0o600)
        return room

    def note_data(self, name: str) -> None:
        """The shard has data from now on."""
        write_private(self.room(name) / MARKER, b"made\n")

    def check_data_not_lost(self, name: str, data: str) -> None:
        """Raises CannotStart if it had data: whoever made new ones in their place would hide that they are gone."""
        marker = self.room(name) / MARKER
        if marker.is_file() and marker.stat().st_size:
            raise CannotStart(f"{name}: its data, {data}, are gone; put them back, or start anew after `hotpath-shard "
                              "down --purge`")

    def home(self, first: str | None, *, elsewhere: bool) -> str | None:
        """Where the map is: what `claim` was told, or `first` before that; None if it is `elsewhere`, by a DSN.

        Raises CannotStart if it was elsewhere and is not now, or the other way: it would be taken for missing.
        """
        marker = self._marker()
        if marker is None:
            return None if elsewhere else first
        if elsewhere and marker.home is not None:
            raise CannotStart(f"meta: the map of {self._cluster} is in {self.path}, not there; take `meta` out again")
        if not elsewhere and marker.home is None:
            raise CannotStart(f"meta: the map of {self._cluster} is where `meta` said at the first `up`; put that back")
        return marker.home

    def remove(self) -> None:
        """Take back what we put here for ourselves; the directory too if nothing else is in it. In `exclusive`."""
        for name in (*LEFT, MARKER):
            (self.path / name).unlink(missing_ok=True)
        # Who waits for the lock sees that it is gone, and makes a new one.
        (self.path / LOCK).unlink(missing_ok=True)
        with suppress(OSError):     # not empty
            self.path.rmdir()


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
