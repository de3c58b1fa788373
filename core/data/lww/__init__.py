"""Last write wins: a table of cells that merge in any order, from many threads, without a lock."""
from hotpath.core.data.lww.delta import bundle, differing, encode, parse, records, split
from hotpath.core.data.lww.entry import Cell
from hotpath.core.data.lww.lwwtable import LWWTable
from hotpath.core.data.lww.stamp import Stamp
from hotpath.core.data.lww.value import pack, unpack
from hotpath.core.errors import BiasMismatch, Damaged, KeyExists, StampMismatch

__all__ = [
    "BiasMismatch", "Cell", "Damaged", "KeyExists", "LWWTable", "Stamp", "StampMismatch", "bundle", "differing",
    "encode", "pack", "parse", "records", "split", "unpack",
]
