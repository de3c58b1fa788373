"""A last-write-wins dictionary that replicates itself: the library here, the server in `hotpath-crdt`."""
from hotpath.core.data.lww import BiasMismatch, Cell, Damaged, KeyExists, Stamp, StampMismatch

from .lwwdict import LWWDict

__all__ = ["BiasMismatch", "Cell", "Damaged", "KeyExists", "LWWDict", "Stamp", "StampMismatch"]
