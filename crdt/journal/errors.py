"""What the journal refuses, and whom that concerns."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.errors import HotpathError


class JournalError(HotpathError):
    """The operator must look: this data directory cannot be used as it is."""


class InUse(JournalError):
    """Another process has the directory; `pid` is None when it did not say."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"{folder}: in use by process {pid if pid is not None else 'unknown'}")
        self.folder = folder
        self.pid = pid


class ForeignData(JournalError):
    """The directory belongs to another replica, or to a group of the other bias."""

    def __init__(self, file: Path, replica: str, bias: str, *, expected: tuple[str, str]) -> None:
        """Keep what was found, and say both in one sentence."""
        super().__init__(f"{file}: belongs to replica {replica} with bias {bias}, "
                         f"not to replica {expected[0]} with bias {expected[1]}")
        self.file = file
        self.replica = replica
        self.bias = bias


class DamagedJournal(JournalError):
    """Bytes that were written are not there any more; `--repair` sets `file` aside."""

    def __init__(self, file: Path, offset: int, cause: str) -> None:
        """Keep all three, and say them in one sentence."""
        super().__init__(f"{file}: damaged at byte {offset}: {cause}; --repair sets it aside")
        self.file = file
        self.offset = offset
        self.cause = cause


class Unavailable(HotpathError):
    """Nothing can be made to last now: the disk is full, or the journal has stopped. `str()` says which."""
