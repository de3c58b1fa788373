"""The write-ahead journal of a replica: segments, group commit, snapshots, replay, repair."""
from .disk import Disk
from .errors import DamagedJournal, ForeignData, InUse, JournalError, Unavailable
from .journal import Journal, Replayed

__all__ = ["DamagedJournal", "Disk", "ForeignData", "InUse", "Journal", "JournalError", "Replayed", "Unavailable"]
