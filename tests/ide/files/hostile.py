"""Archives that lie, made byte by byte: zipfile would not write them."""
from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass

LINK, PIPE, DEVICE, FOLDER = (kind << 16 for kind in (stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644,
                                                      stat.S_IFDIR | 0o755))


@dataclass
class Lie:
    """An entry; what is None is told truly."""

    name: bytes
    data: bytes = b"x"
    attributes: int = 0o100644 << 16
    system: int = 3
    method: int = 8
    flags: int = 0
    size: int | None = None             # as the directory says
    packed_size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    offset: int | None = None
    packed: bytes | None = None         # instead of the packed data


def archive(*lies: Lie, count: int | None = None) -> io.BytesIO:
    """The archive as a file."""
    body, directory = b"", b""
    for one in lies:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(one.data) + packer.flush() if one.method == 8 else one.data
        if one.packed is not None:
            packed = one.packed
        crc = zlib.crc32(one.data) if one.crc is None else one.crc
        packed_size = len(packed) if one.packed_size is None else one.packed_size
        size = len(one.data) if one.size is None else one.size
        name = one.name if one.local_name is None else one.local_name
        offset = len(body) if one.offset is None else one.offset
        body += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, one.flags, one.method, 0, 33, crc, packed_size, size,
                            len(name), 0) + name + packed
        directory += struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, one.system, 20, 0, one.flags, one.method, 0, 33,
                                 crc, packed_size, size, len(one.name), 0, 0, 0, 0, one.attributes, offset) + one.name
    n = len(lies) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, n, n, len(directory), len(body), 0)
    return io.BytesIO(body + directory + end)


def honest(files: dict[str, bytes]) -> io.BytesIO:
    """As zipfile makes it; a name that ends in / is a folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return file
