"""What is in a zip archive that somebody sent, if nothing in it is a trap.

zipfile reads the directory at its end; all that counts is then checked here, before anything is written: names, kinds,
sizes. Contents are unpacked here too, since zipfile stops silently where a lying entry goes on.
"""
from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hotpath.ide.errors import BadArchive, BadPath

from .paths import check_new_name, checked, joined, shown

CHUNK_BYTES = 128 * 1024

DIRECTORY_MARK = b"PK\x01\x02"
# An entry with this mark makes zipfile keep about 1 KB. Archives within the archive have such marks too, so more of
# them than there may be entries are no proof; so many more would only be there to fill our memory.
MARKS_PER_ENTRY = 4

LOCAL = struct.Struct("<4s5H3L2H")      # APPNOTE 4.3.7
LOCAL_MARK = b"PK\x03\x04"
ENCRYPTED = 1
UTF8 = 0x800
MSDOS, UNIX = 0, 3
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Packed:
    """One entry that can be unpacked."""

    path: bytes             # from where it is unpacked to
    mode: int               # permissions; 0: not said
    is_folder: bool
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self.info.file_size


def bad(path: bytes, why: str) -> BadArchive:
    """Names the entry and what is wrong with it."""
    name = shown(path)
    return BadArchive(f"the entry {name!r} {why}; nothing was written" if path else f"{why}; nothing was written",
                      entry=name)


class Archive:
    """An archive whose directory was checked."""

    def __init__(self, file: BinaryIO, below: bytes, *, max_bytes: int, max_files: int) -> None:
        """`file` can seek. `below`: the folder it is unpacked to; paths must not get too long there. BadArchive."""
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        marks = count_marks(file)
        if marks > MARKS_PER_ENTRY * max_files:
            raise bad(b"", f"the archive has {marks} entries, those of archives in it included; allowed: {max_files} "
                           "(limits.unzip_files)")
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, struct.error,
                UnicodeError) as error:
            raise bad(b"", f"this is no zip archive that can be read: {error}") from None
        if len(infos) > max_files:
            raise bad(b"", f"the archive has {len(infos)} entries; allowed: {max_files} (limits.unzip_files)")
        self.entries = [one for info in infos if (one := packed(info, below)) is not None]
        self.n_things = self._check_together(max_bytes, max_files)
        self.n_bytes = sum(one.size for one in self.entries)
        self.n_files = sum(not one.is_folder for one in self.entries)

    def _check_together(self, max_bytes: int, max_files: int) -> int:
        """How many files and folders come of it: an entry may need a thousand folders that have none themselves."""
        seen: dict[bytes, bool] = {}
        n_bytes = 0
        for one in self.entries:
            if one.path in seen:
                raise bad(one.path, "is there twice")
            seen[one.path] = one.is_folder
            n_bytes += one.size
            if n_bytes > max_bytes:
                raise bad(one.path, f"makes it more than {max_bytes} bytes unpacked (limits.unzip)")
        looked_at: set[bytes] = set()
        n = len(seen)
        for one in self.entries:
            above = one.path
            while (above := above.rpartition(b"/")[0]) and above not in looked_at:
                if seen.get(above, True) is False:
                    raise bad(one.path, f"lies in {shown(above)!r}, which is a file")
                looked_at.add(above)
                n += above not in seen
                if n > max_files:
                    raise bad(one.path, f"makes it more than {max_files} files and folders (limits.unzip_files)")
        return n

    def contents(self, one: Packed) -> Iterator[bytes]:
        """The bytes of a file. Raises BadArchive when they are not what the directory says."""
        info = one.info
        # zipfile corrects it by where it found the directory, which can make it anything.
        head = b""
        if 0 <= info.header_offset < self._size:
            self._file.seek(info.header_offset)
            head = self._file.read(LOCAL.size)
        if len(head) < LOCAL.size or not head.startswith(LOCAL_MARK):
            raise bad(one.path, "is not where the directory says")
        _, _, flags, method, *_, n_name, n_extra = LOCAL.unpack(head)
        if raw_name(info) != self._file.read(n_name) or method != info.compress_type or flags & ENCRYPTED:
            raise bad(one.path, "is another one where its contents are")
        self._file.seek(n_extra, os.SEEK_CUR)
        size, crc = 0, 0
        for piece in self._unpacked(one):
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            if size > one.size:
                raise bad(one.path, f"has more than the {one.size} bytes it says")
            yield piece
        if size < one.size:
            raise bad(one.path, f"has {size} bytes and says {one.size}")
        if crc != info.CRC:
            raise bad(one.path, "is damaged: its checksum is another")

    def _unpacked(self, one: Packed) -> Iterator[bytes]:
        left = one.info.compress_size
        inflate = zlib.decompressobj(-15) if one.info.compress_type == zipfile.ZIP_DEFLATED else None
        while left:
            packed_bytes = self._file.read(min(CHUNK_BYTES, left))
            if not packed_bytes:
                raise bad(one.path, "ends before its end")
            left -= len(packed_bytes)
            if inflate is None:
                yield packed_bytes
                continue
            try:
                while packed_bytes and not inflate.eof:
                    # However much it would become, it is looked at in pieces.
                    yield inflate.decompress(packed_bytes, CHUNK_BYTES)
                    packed_bytes = inflate.unconsumed_tail
            except zlib.error as error:
                raise bad(one.path, f"is damaged: {error}") from None
            if inflate.eof and (left or inflate.unused_data):
                raise bad(one.path, "has something behind its end")
        if inflate is not None:
            while not inflate.eof:
                try:
                    piece = inflate.decompress(inflate.unconsumed_tail, CHUNK_BYTES)
                except zlib.error as error:
                    raise bad(one.path, f"is damaged: {error}") from None
                if not piece:
                    raise bad(one.path, "ends before its end")
                yield piece


def count_marks(file: BinaryIO) -> int:
    """How many entries a directory anywhere in the file could have."""
    file.seek(0)
    n, rest = 0, b""
    while piece := file.read(1024 * 1024):
        piece = rest + piece
        n += piece.count(DIRECTORY_MARK)
        rest = piece[-(len(DIRECTORY_MARK) - 1):]
    return n


def raw_name(info: zipfile.ZipInfo) -> bytes:
    """The name as it stands in the archive: zipfile decodes it, cuts it at a NUL, and more."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")


def packed(info: zipfile.ZipInfo, below: bytes) -> Packed | None:
    """The entry; None: it is only the folder that all is in. Raises BadArchive."""
    raw = raw_name(info)
    name = raw
    if not info.flag_bits & UTF8 and info.create_system != UNIX:
        try:
            raw.decode()
        except UnicodeDecodeError:          # as the format has it for names without a mark
            name = info.orig_filename.encode()
    is_folder = name.endswith(b"/")
    path = name.removesuffix(b"/")
    while path.startswith(b"./"):           # as some packers begin each name
        path = path[2:]
    if is_folder and path in (b".", b""):
        return None
    if b"\\" in path:
        raise bad(name, r"has a \ in its name, which only some systems take for a /")
    try:
        if not path:
            raise BadPath("it has no name")
        checked(joined(below, checked(path)))
        for part in path.split(b"/"):
            check_new_name(part)
    except BadPath as error:
        raise BadArchive(f"the entry {shown(name)!r} cannot be unpacked: {error}; nothing was written",
                         entry=shown(name)) from None
    check_kind(info, name, is_folder=is_folder)
    return Packed(path, (info.external_attr >> 16) & 0o777 if info.create_system == UNIX else 0, is_folder, info)


def check_kind(info: zipfile.ZipInfo, name: bytes, *, is_folder: bool) -> None:
    """Files and folders only, in a way that can be unpacked. Raises BadArchive."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise bad(name, "is a link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise bad(name, "is neither a file nor a folder")
    if kind and info.create_system == UNIX and (kind == stat.S_IFDIR) != is_folder:
        raise bad(name, "is a folder with the name of a file, or the other way round")
    if is_folder and info.file_size:
        raise bad(name, "is a folder and has contents")
    if info.flag_bits & ENCRYPTED:
        raise bad(name, "is encrypted")
    if info.compress_type not in METHODS:
        raise bad(name, f"is packed by method {info.compress_type}; allowed: stored (0) or deflate (8)")
