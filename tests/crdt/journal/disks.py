"""Disks that fail, fill up, die or forget, for the journal to stand on."""
from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotpath.crdt.journal import Disk

CALLS = ("create", "append_to", "write", "truncate", "sync_data", "sync", "sync_folder", "make_folder", "rename",
         "link", "unlink", "close")


class Watched(Disk):
    """Tells `before` and `after` of every call; both may raise."""

    def __init__(self, real: Disk | None = None) -> None:
        self.real = real or Disk()
        self.calls: list[str] = []

    def before(self, call: str, *given: Any) -> None:
        """About to happen."""

    def after(self, call: str, *given: Any) -> None:
        """Has happened."""


def _watched(call: str) -> Callable[..., Any]:
    def method(self: Watched, *given: Any) -> Any:
        self.calls.append(call)
        self.before(call, *given)
        answer = getattr(self.real, call)(*given)
        self.after(call, *given)
        return answer
    return method


for name in CALLS:
    setattr(Watched, name, _watched(name))


class Lazy(Disk):
    """Syncs nothing: for tests of what is in the files, in which nobody pulls the plug."""

    def sync_data(self, fd: int) -> None:
        pass

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class Failing(Watched):
    """From the `n`th call of kind `call` on, `times` calls fail with `code`. Of a write one half is done first."""

    def __init__(self, call: str, n: int, code: int, times: int = 10**9) -> None:
        super().__init__()
        self.call, self.n, self.code, self.times = call, n, code, times

    def before(self, call: str, *given: Any) -> None:
        if call != self.call:
            return
        self.n -= 1
        if self.n < 0 < self.times:
            self.times -= 1
            if call == "write":
                fd, data = given
                os.write(fd, data[:len(data) // 2])
            raise OSError(self.code, os.strerror(self.code))


class Deadly(Watched):
    """Kills the process before its `n`th call; half of what was to be written is, first."""

    def __init__(self, n: int) -> None:
        super().__init__(Lazy())        # the kernel lives on, and with it what was written
        self.left = n

    def before(self, call: str, *given: Any) -> None:
        if self.left == 0:
            if call == "write":
                os.write(given[0], given[1][:len(given[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Small(Disk):
    """Holds `room` bytes more; takes what fits, then says ENOSPC. More room may be made."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, fd: int, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n = super().write(fd, data[:self.room])
        self.room -= n
        return n

    def truncate(self, fd: int, size: int) -> None:
        self.room += os.fstat(fd).st_size - size
        super().truncate(fd, size)


class Held(Disk):
    """Stops in each sync_data until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.syncs = 0

    def sync_data(self, fd: int) -> None:
        self.entered.release()
        self.let_go.acquire()
        super().sync_data(fd)
        self.syncs += 1


class Dead(OSError):
    """The power is off."""


class PowerCut(Watched):
    """Loses power before its `n`th call, and then knows what is left: what was synced, and what `luck` adds to that.

    A file has at least the bytes of its last sync, a folder at least the names of its own. A write that was under way
    is there by half.
    """

    def __init__(self, n: int) -> None:
        super().__init__(Lazy())
        self.left = n
        self.is_off = False
        self.bytes_synced: dict[int, bytes] = {}
        self.names_synced: dict[Path, dict[str, int]] = {}
        self.bytes_now: dict[int, bytes] = {}
        self.names_now: dict[Path, dict[str, int]] = {}
        self.folders: set[Path] = set()

    def before(self, call: str, *given: Any) -> None:
        if call == "close":         # changes nothing, and the test itself wants its descriptors back
            return
        if not self.is_off and self.left == 0:
            if call == "write":
                os.write(given[0], given[1][:len(given[1]) // 2])
            self.is_off = True
            self.look()
        if self.is_off:
            raise Dead(errno.EIO, "the power is off")
        self.left -= 1

    def after(self, call: str, *given: Any) -> None:
        if call in ("sync", "sync_data"):
            self.bytes_synced[os.fstat(given[0]).st_ino] = content(given[0])
        elif call == "sync_folder" and given[0] in self.folders:
            self.names_synced[given[0]] = names(given[0])
        elif call == "make_folder":
            self.folders.add(given[0])

    def look(self) -> None:
        """See what is there at the moment of the cut."""
        for folder in self.folders:
            self.names_now[folder] = names(folder)
            for name, inode in self.names_now[folder].items():
                if (folder / name).is_file():
                    self.bytes_now[inode] = (folder / name).read_bytes()

    def image(self, origin: Path, to: Path, luck: str) -> None:
        """What is found after power comes back. `luck`: "least" is what was synced; "most" all; "zeros" every size, but
        not the bytes; "names" every name, and of the bytes those that were synced."""
        chosen = self.names_synced if luck == "least" else self.names_now
        for folder in sorted(self.folders):
            if folder.parent in self.folders and folder.name not in chosen.get(folder.parent, {}):
                continue
            target = to / folder.relative_to(origin)
            target.mkdir(parents=True, exist_ok=True)
            for name, inode in chosen.get(folder, {}).items():
                if (folder / name) in self.folders:
                    continue
                synced = self.bytes_synced.get(inode, b"")
                now = self.bytes_now.get(inode, synced)
                if luck == "most":
                    data = now
                elif luck == "zeros":
                    data = synced + bytes(max(0, len(now) - len(synced)))
                else:
                    data = synced
                (target / name).write_bytes(data)


def names(folder: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(folder)}


def content(fd: int) -> bytes:
    return Path(f"/proc/self/fd/{fd}").read_bytes()
