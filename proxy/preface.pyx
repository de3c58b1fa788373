"""The PROXY protocol's header, version 1 and 2: whom does the peer forward?

"The PROXY protocol, versions 1 & 2", Willy Tarreau, HAProxy Technologies. Strict: what the text does not allow is BROKEN, as
soon as the first byte shows it. A forwarded datagram is no HTTP client, so of version 2's transports only streams pass.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset, strlen

from hotpath.core.net.linux cimport AF_INET, AF_INET6, inet_ntop, inet_pton

cdef extern from "../core/data/crc32c.h" nogil:
    uint32_t crc32c(uint32_t value, const uint8_t* data, size_t size)

cdef enum:
    V1_BYTES = 107              # section 2.1: the longest line, with its CRLF
    V2_HEAD_BYTES = 16
    SIGNATURE_BYTES = 12
    TLV_CRC32C = 0x03           # section 2.2.3

cdef const char* SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


cdef Py_ssize_t parse_preface(const uint8_t* data, size_t size, preface_t* preface) noexcept nogil:
    if size == 0:
        return PREFACE_NEED_MORE
    memset(preface, 0, sizeof(preface_t))
    if data[0] == c"P":
        return parse_line(data, size, preface)
    if memcmp(data, SIGNATURE, min(size, <size_t>SIGNATURE_BYTES)) != 0:
        return PREFACE_BROKEN
    return parse_binary(data, size, preface)


cdef Py_ssize_t parse_line(const uint8_t* data, size_t size, preface_t* preface) noexcept nogil:
    """Version 1: PROXY TCP4 SOURCE DESTINATION PORT PORT, or PROXY UNKNOWN and whatever."""
    cdef size_t end = 0
    if memcmp(data, b"PROXY ", min(size, <size_t>6)) != 0:
        return PREFACE_BROKEN
    while end < size and end < V1_BYTES and data[end] != c"\r" and data[end] != c"\n":
        end += 1
    if end + 2 > V1_BYTES or (end < size and data[end] != c"\r") or (end + 1 < size and data[end + 1] != c"\n"):
        return PREFACE_BROKEN
    if end + 2 > size:
        return PREFACE_NEED_MORE
    if end >= 13 and memcmp(data + 6, b"UNKNOWN", 7) == 0 and (end == 13 or data[13] == c" "):
        preface.origin = ORIGIN_UNKNOWN
    elif end > 11 and memcmp(data + 6, b"TCP4 ", 5) == 0 and parse_ends(data + 11, end - 11, AF_INET, preface):
        preface.origin = ORIGIN_IP
    elif end > 11 and memcmp(data + 6, b"TCP6 ", 5) == 0 and parse_ends(data + 11, end - 11, AF_INET6, preface):
        preface.origin = ORIGIN_IP
    else:
        return PREFACE_BROKEN
    return <Py_ssize_t>end + 2

cdef bint parse_ends(const uint8_t* text, size_t size, int family, preface_t* preface) noexcept nogil:
    """SOURCE DESTINATION PORT PORT, with one space between."""
    cdef uint8_t other[16]
    cdef size_t stops[4]
    cdef size_t at, n = 0
    for at in range(size):
        if text[at] == c" ":
            if n == 3:
                return False
            stops[n] = at
            n += 1
    if n != 3:
        return False
    stops[3] = size
    return parse_ip(text, stops[0], family, preface.address) \
        and parse_ip(text + stops[0] + 1, stops[1] - stops[0] - 1, family, other) \
        and is_port(text + stops[1] + 1, stops[2] - stops[1] - 1) and is_port(text + stops[2] + 1, stops[3] - stops[2] - 1)

cdef bint parse_ip(const uint8_t* text, size_t size, int family, uint8_t* address) noexcept nogil:
    cdef char terminated[46]
    if size == 0 or size >= sizeof(terminated):
        return False
    memcpy(terminated, text, size)
    terminated[size] = 0
    if strlen(terminated) != size:
        return False
    if family == AF_INET6:
        return inet_pton(AF_INET6, terminated, address) == 1
    memset(address, 0, 10)
    address[10] = address[11] = 0xFF
    return inet_pton(AF_INET, terminated, address + 12) == 1

cdef bint is_port(const uint8_t* text, size_t size) noexcept nogil:
    cdef uint32_t port = 0
    cdef size_t i
    if size == 0 or size > 5 or (size > 1 and text[0] == c"0"):
        return False
    for i in range(size):
        if not c"0" <= text[i] <= c"9":
            return False
        port = port * 10 + text[i] - c"0"
    return port <= 65535


cdef Py_ssize_t parse_binary(const uint8_t* data, size_t size, preface_t* preface) noexcept nogil:
    """Version 2."""
    cdef size_t length, addresses
    cdef uint8_t family
    if size > 12 and data[12] != 0x20 and data[12] != 0x21:
        return PREFACE_BROKEN
    if size > 13 and data[12] == 0x21 and transport_bytes(data[13]) < 0:
        return PREFACE_BROKEN
    if size < V2_HEAD_BYTES:
        return PREFACE_NEED_MORE
    length = data[14] << 8 | data[15]
    if V2_HEAD_BYTES + length > PREFACE_BYTES:
        return PREFACE_BROKEN
    if data[12] == 0x20:                    # LOCAL: all the rest is to be ignored
        preface.origin = ORIGIN_PEER
        return <Py_ssize_t>(V2_HEAD_BYTES + length) if size >= V2_HEAD_BYTES + length else PREFACE_NEED_MORE
    family = data[13]
    addresses = <size_t>transport_bytes(family)
    if length < addresses:
        return PREFACE_BROKEN
    if size < V2_HEAD_BYTES + length:
        return PREFACE_NEED_MORE
    if family == 0x11:
        memset(preface.address + 10, 0xFF, 2)
        memcpy(preface.address + 12, data + V2_HEAD_BYTES, 4)
        preface.origin = ORIGIN_IP
    elif family == 0x21:
        memcpy(preface.address, data + V2_HEAD_BYTES, 16)
        preface.origin = ORIGIN_IP
    else:
        preface.origin = ORIGIN_UNIX if family == 0x31 else ORIGIN_UNKNOWN
    if family != 0 and not check_tlvs(data, V2_HEAD_BYTES + length, V2_HEAD_BYTES + addresses):
        return PREFACE_BROKEN
    return <Py_ssize_t>(V2_HEAD_BYTES + length)

cdef int transport_bytes(uint8_t family) noexcept nogil:
    """Bytes of its two addresses and ports; -1: not one that we take."""
    if family == 0x00:                      # UNSPEC
        return 0
    if family == 0x11:                      # TCP over IPv4
        return 12
    if family == 0x21:                      # TCP over IPv6
        return 36
    if family == 0x31:                      # a unix stream
        return 216
    return -1

cdef bint check_tlvs(const uint8_t* data, size_t size, size_t at) noexcept nogil:
    """Whether they fill the header exactly, and its CRC-32C, if it has one, is right."""
    cdef const uint8_t* zeros = b"\x00\x00\x00\x00"
    cdef size_t length
    cdef uint32_t sum
    while at < size:
        if size - at < 3:
            return False
        length = data[at + 1] << 8 | data[at + 2]
        if size - at - 3 < length:
            return False
        if data[at] == TLV_CRC32C:
            if length != 4:
                return False
            # Over the whole header, with zeros in this place.
            sum = crc32c(crc32c(crc32c(0, data, at + 3), zeros, 4), data + at + 7, size - at - 7)
            if sum != (<uint32_t>data[at + 3] << 24 | data[at + 4] << 16 | data[at + 5] << 8 | data[at + 6]):
                return False
        at += 3 + length
    return True


def read_preface(bytes data):
    """(bytes consumed, source) of a header: an address, "unix", "unknown" or "peer". None: more is needed. ValueError: it is none."""
    cdef preface_t preface
    cdef char text[46]
    cdef Py_ssize_t used = parse_preface(data, <size_t>len(data), &preface)
    if used == PREFACE_NEED_MORE:
        return None
    if used == PREFACE_BROKEN:
        raise ValueError("no PROXY header")
    if preface.origin == ORIGIN_IP:
        inet_ntop(AF_INET6, preface.address, text, sizeof(text))
        return used, text.decode()
    return used, {<int>ORIGIN_PEER: "peer", <int>ORIGIN_UNKNOWN: "unknown", <int>ORIGIN_UNIX: "unix"}[preface.origin]
