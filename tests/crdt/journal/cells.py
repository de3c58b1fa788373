"""Cells, records and deltas in bytes, said a second time: what the journal wrote is read by somebody else."""
from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from hotpath.core.data.crc32c import crc32c

CELL = struct.Struct(">Q8sBHI")


def cell(key: bytes, hlc: int, value: bytes = b"", *, replica: str = "a", live: int = 1) -> bytes:
    payload = b"\0" + value if live == 1 else b""
    return CELL.pack(hlc, replica.encode(), live, len(key), len(payload)) + key + payload


def record(encoded: bytes) -> bytes:
    return struct.pack(">II", len(encoded), crc32c(encoded)) + encoded


def control(kind: str, hlc: int, payload: bytes = b"", *, replica: str = "a") -> bytes:
    key = kind.encode()
    return record(CELL.pack(hlc, replica.encode(), 2, len(key), len(payload)) + key + payload)


def commit(offset: int, *, bias: int = 1) -> bytes:
    return control("commit", 0, struct.pack(">BQ", bias, offset))


def delta(cells: Iterable[bytes], *, bias: int = 1) -> bytes:
    cells = list(cells)
    body = struct.pack(">4sBBHQ", b"LWWD", 1, bias, 0, len(cells)) + b"".join(cells)
    return body + crc32c(body).to_bytes(4, "big")


def split(encoded: bytes, *, bias: int = 1) -> Iterator[bytes]:
    """The cells of a sound delta of our bias."""
    assert crc32c(encoded[:-4]) == int.from_bytes(encoded[-4:], "big")
    magic, version, of_bias, zero, count = struct.unpack_from(">4sBBHQ", encoded)
    assert (magic, version, of_bias, zero) == (b"LWWD", 1, bias, 0)
    at = 16
    for _ in range(count):
        _, _, live, n_key, n_payload = CELL.unpack_from(encoded, at)
        assert live in (0, 1)
        end = at + CELL.size + n_key + n_payload
        yield encoded[at:end]
        at = end
    assert at == len(encoded) - 4


def cells_of(deltas: Iterable[bytes]) -> set[bytes]:
    return {one for encoded in deltas for one in split(encoded)}
