"""A PROXY header says what a plain reading of its specification says, wherever it is cut; anything else is refused."""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotpath.core.data.crc32c import crc32c
from hotpath.proxy.preface import read_preface

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
UNIX = b"/a".ljust(108, b"\x00") + b"/b".ljust(108, b"\x00")
V4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 1234, 443)
V6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed + struct.pack("!HH", 1, 2)
PORT = re.compile(r"0|[1-9][0-9]{0,4}")

Found = tuple[int, str]


def v2(family: int, addresses: bytes, tlvs: bytes = b"", *, command: int = 0x21, length: int | None = None) -> bytes:
    """A version 2 header."""
    body = addresses + tlvs
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(body) if length is None else length) + body


def tlv(kind: int, value: bytes) -> bytes:
    """One of its extensions."""
    return bytes((kind,)) + struct.pack("!H", len(value)) + value


def with_sum(header: bytes, at: int) -> bytes:
    """`header` with the CRC-32C of itself put at `at`."""
    return header[:at] + struct.pack("!I", crc32c(header)) + header[at + 4:]


def shown(address: str | bytes) -> str:
    """An address as read_preface shows it: IPv4 as ::ffff:a.b.c.d."""
    ip = ipaddress.ip_address(address)
    packed = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    return socket.inet_ntop(socket.AF_INET6, packed)


def oracle(data: bytes) -> Found | None:
    """What read_preface must answer, by the specification's words and Python's library."""
    if not data:
        return None
    if data.startswith(b"PROXY "):
        return line_oracle(data)
    if (SIGNATURE.startswith(data) and data != SIGNATURE) or b"PROXY ".startswith(data):
        return None
    if not data.startswith(SIGNATURE):
        raise ValueError
    return binary_oracle(data)


def line_oracle(data: bytes) -> Found | None:
    ends = [at for at in (data.find(b"\r"), data.find(b"\n")) if at >= 0]
    end = min(ends, default=len(data))
    if end + 2 > 107 or data[end:end + 2] not in (b"", b"\r", b"\r\n"):
        raise ValueError
    if data[end:end + 2] != b"\r\n":
        return None
    protocol, *rest = data[6:end].split(b" ")
    if protocol == b"UNKNOWN":
        return end + 2, "unknown"
    kind = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}.get(protocol)
    if kind is None or len(rest) != 4:
        raise ValueError
    source, destination, *ports = (word.decode("latin-1") for word in rest)
    try:
        packed = [socket.inet_pton(kind, ip) for ip in (source, destination)]
    except OSError:
        raise ValueError from None
    if not all(PORT.fullmatch(port) and int(port) < 65536 for port in ports):
        raise ValueError
    return end + 2, shown(packed[0])


def binary_oracle(data: bytes) -> Found | None:
    sizes = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}
    if data[12:13] not in (b"", b"\x20", b"\x21"):
        raise ValueError
    if data[12:13] == b"\x21" and len(data) > 13 and data[13] not in sizes:
        raise ValueError
    if len(data) < 16:
        return None
    length = struct.unpack_from("!H", data, 14)[0]
    if length > 4096:
        raise ValueError
    if data[12] == 0x20:
        return (16 + length, "peer") if len(data) >= 16 + length else None
    if length < sizes[data[13]]:
        raise ValueError
    if len(data) < 16 + length:
        return None
    header = data[:16 + length]
    at = 16 + sizes[header[13]]
    while header[13] and at < len(header):
        if len(header) - at < 3:
            raise ValueError
        size = struct.unpack_from("!H", header, at + 1)[0]
        if at + 3 + size > len(header):
            raise ValueError
        if header[at] == 3:
            blank = header[:at + 3] + bytes(size) + header[at + 3 + size:]
            if size != 4 or header[at + 3:at + 7] != struct.pack("!I", crc32c(blank)):
                raise ValueError
        at += 3 + size
    name = {0x00: "unknown", 0x31: "unix"}.get(header[13])
    return 16 + length, name or shown(header[16:20] if header[13] == 0x11 else header[16:32])


def judge(read, data: bytes) -> Found | str | None:
    """What `read` answers; "refused" instead of ValueError."""
    try:
        return read(data)
    except ValueError:
        return "refused"


GOOD = {
    "TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n", "::ffff:192.0.2.1"),
    "TCP6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n", "2001:db8::1"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", "unknown"),
    "UNKNOWN and more": (b"PROXY UNKNOWN ffff::1 whatever 1\r\n", "unknown"),
    "the longest line": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", "unknown"),
    "v2 IPv4": (v2(0x11, V4), "::ffff:192.0.2.1"),
    "v2 IPv6": (v2(0x21, V6), "2001:db8::1"),
    "v2 unix": (v2(0x31, UNIX), "unix"),
    "v2 unspecified": (v2(0x00, b""), "unknown"),
    "v2 unspecified and more": (v2(0x00, b"ab"), "unknown"),
    "v2 LOCAL": (v2(0x00, b"", command=0x20), "peer"),
    "v2 LOCAL and more": (v2(0x7F, b"anything", command=0x20), "peer"),
    "v2 TLVs": (v2(0x11, V4, tlv(0x02, b"a.example") + tlv(0x04, b"")), "::ffff:192.0.2.1"),
    "v2 a sum": (with_sum(v2(0x11, V4, tlv(0x03, bytes(4)) + tlv(0x05, b"id")), 31), "::ffff:192.0.2.1"),
    "v2 the longest": (v2(0x11, V4, tlv(0x04, bytes(4096 - 12 - 3))), "::ffff:192.0.2.1"),
}

BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "another word": b"PROXX TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "lower case": b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
    "no protocol": b"PROXY \r\n",
    "UNKNOWNX": b"PROXY UNKNOWNX\r\n",
    "UDP4": b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "two spaces": b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
    "a space behind": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    "too few": b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    "too many": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "IPv4 as TCP6": b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    "leading zero": b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
    "three parts": b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    "bad destination": b"PROXY TCP4 1.2.3.4 1.2.3.4.5 1 2\r\n",
    "port too large": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    "port with zero": b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    "port with sign": b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    "no port": b"PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n",
    "a NUL": b"PROXY TCP4 1.2.3.4\x00 1.2.3.4 1 2\r\n",
    "bare LF": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    "bare CR": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rG",
    "line too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "line without end": b"PROXY UNKNOWN " + b"x" * 92,
    "v2 signature": b"\r\n\r\n\x00\r\nQUIP\n",
    "v2 version": v2(0x11, V4, command=0x11),
    "v2 command": v2(0x11, V4, command=0x22),
    "v2 datagrams": v2(0x12, V4),
    "v2 family": v2(0x41, V4),
    "v2 half specified": v2(0x10, V4),
    "v2 no room for addresses": v2(0x11, V4[:-1]),
    "v2 too long": v2(0x11, V4, length=4097),
    "v2 TLV cut": v2(0x11, V4, b"\x04\x00"),
    "v2 TLV too long": v2(0x11, V4, b"\x04\x00\x02a"),
    "v2 wrong sum": v2(0x11, V4, tlv(0x03, b"abcd")),
    "v2 short sum": v2(0x11, V4, tlv(0x03, b"abc")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_names_its_source_and_nothing_behind_it_matters(name: str) -> None:
    header, source = GOOD[name]
    for behind in (b"", b"G", b"\r\n", b"\x16\x03\x01", bytes(5000)):
        assert read_preface(header + behind) == (len(header), source)
        assert oracle(header + behind) == (len(header), source)


@pytest.mark.parametrize("name", GOOD)
def test_a_header_that_is_not_whole_needs_more(name: str) -> None:
    header, _ = GOOD[name]
    for cut in range(len(header)):
        assert read_preface(header[:cut]) is None, cut


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused_however_it_comes(name: str) -> None:
    assert judge(read_preface, BAD[name]) == "refused"
    assert judge(oracle, BAD[name]) == "refused"
    # Refused as soon as its first bytes show it, and never again taken for the beginning of one.
    verdicts = [judge(read_preface, BAD[name][:cut]) for cut in range(len(BAD[name]) + 1)]
    first = verdicts.index("refused")
    assert verdicts[:first] == [None] * first
    assert set(verdicts[first:]) == {"refused"}


@st.composite
def nearly_headers(draw: st.DrawFn) -> bytes:
    """A good header with a few bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from([header for header, _ in GOOD.values() if len(header) < 300])))
    pieces = (b" ", b"\r", b"\n", b"\x00", b"0", b"1", b"65536", b".", b":", b"\x20", b"\x21", b"\x03\x00\x04")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at:at + draw(st.integers(0, 2))] = draw(st.sampled_from(pieces) | st.binary(max_size=2))
    return bytes(data[:draw(st.integers(0, len(data)) | st.just(len(data)))])


@given(data=nearly_headers() | st.binary(max_size=64) | st.binary(max_size=260).map(lambda rest: SIGNATURE + rest))
@example(data=SIGNATURE + b"\x21\x11\x00\x0c" + bytes(12))
@example(data=b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r")
def test_any_bytes_are_read_as_the_specification_reads_them(data: bytes) -> None:
    assert judge(read_preface, data) == judge(oracle, data)


def test_a_sum_is_checked_wherever_it_stands() -> None:
    dice = random.Random(1)
    for _ in range(200):
        before = tlv(0x04, dice.randbytes(dice.randrange(9)))
        behind = tlv(0x05, dice.randbytes(dice.randrange(9)))
        header = with_sum(v2(0x21, V6, before + tlv(0x03, bytes(4)) + behind), 16 + 36 + len(before) + 3)
        assert read_preface(header) == (len(header), "2001:db8::1")
        bad = bytearray(header)
        bad[dice.randrange(16, 16 + 36)] ^= 1 << dice.randrange(8)      # an address or a port
        assert judge(read_preface, bytes(bad)) == judge(oracle, bytes(bad)) == "refused"
