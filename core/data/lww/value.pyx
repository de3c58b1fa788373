"""Values: bytes, or JSON in one canonical form, so that equal values are equal bytes on every replica.

Canonical: UTF-8, the members of an object sorted by name, no blanks, only the escapes that RFC 8259 section 7 demands.
"""
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from json.encoder import encode_basestring

import msgspec

from hotpath.core.errors import Damaged

cdef enum:
    RAW = 0
    JSON = 1
    DEEPEST = 200               # of arrays and objects within each other; decoders elsewhere give up not far above

cdef object decode = msgspec.json.Decoder().decode
cdef double INFINITY = float("inf")


cdef int write(list parts, object value, int depth) except -1:
    """Append the pieces of `value`'s JSON."""
    if value is None:
        parts.append("null")
    elif value is True:
        parts.append("true")
    elif value is False:
        parts.append("false")
    elif isinstance(value, str):
        parts.append(encode_basestring(value))
    elif isinstance(value, int):
        parts.append(int.__repr__(value))
    elif isinstance(value, float):
        if value != value or value == INFINITY or value == -INFINITY:
            raise ValueError(f"{value} cannot be said in JSON")
        parts.append(float.__repr__(value))
    elif depth == DEEPEST:
        raise ValueError(f"more than {DEEPEST} arrays and objects within each other")
    elif isinstance(value, list):
        write_array(parts, value, depth)
    elif isinstance(value, dict):
        write_object(parts, value if type(value) is dict else dict(value), depth)
    else:
        raise TypeError(f"a {type(value).__name__} is neither bytes nor JSON")
    return 0

cdef int write_array(list parts, object value, int depth) except -1:
    before = "["
    for item in value:
        parts.append(before)
        write(parts, item, depth + 1)
        before = ","
    parts.append("]" if before == "," else "[]")
    return 0

cdef int write_object(list parts, dict value, int depth) except -1:
    before = "{"
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"the name of a member of a JSON object is a str, not a {type(name).__name__}")
    for name in sorted(value):
        parts.append(before)
        parts.append(encode_basestring(name))
        parts.append(":")
        write(parts, value[name], depth + 1)
        before = ","
    parts.append("}" if before == "," else "{}")
    return 0

cdef object pack_plain(str value):
    """The payload of a string in which nothing has to be escaped; None for others."""
    cdef Py_ssize_t size, i
    cdef const uint8_t* text = <const uint8_t*>PyUnicode_AsUTF8AndSize(value, &size)
    cdef bytes payload
    cdef uint8_t* to
    for i in range(size):
        if text[i] < 0x20 or text[i] == b'"' or text[i] == b"\\":
            return None
    payload = PyBytes_FromStringAndSize(NULL, size + 3)
    to = payload
    to[0], to[1], to[size + 2] = JSON, b'"', b'"'
    memcpy(to + 2, text, size)
    return payload

cdef object plain_of(const uint8_t* payload, Py_ssize_t size):
    if payload[0] == RAW:
        return PyBytes_FromStringAndSize(<const char*>payload + 1, size - 1)
    # A string without escapes, the most common value by far, is its own bytes.
    if size > 2 and payload[1] == b'"' and payload[size - 1] == b'"' and memchr(payload + 1, b'\\', size - 1) == NULL \
            and memchr(payload + 2, b'"', size - 3) == NULL:
        try:
            return PyUnicode_DecodeUTF8(<const char*>payload + 2, size - 3, NULL)
        except UnicodeDecodeError:
            return None     # the decoder will say what is wrong
    return None

cdef object decoded(bytes text):
    try:
        return decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"a value is no JSON: {error}") from None

cdef object value_of(const uint8_t* payload, Py_ssize_t size):
    value = plain_of(payload, size)
    return decoded(PyBytes_FromStringAndSize(<const char*>payload + 1, size - 1)) if value is None else value


cpdef bytes pack(object value):
    """The payload of a value: a zero and the bytes, or a one and its canonical JSON.

    Raises TypeError for what is neither bytes nor JSON, a tuple too, which would come back as a list; ValueError for NaN,
    infinities, lone surrogates, deep nesting.
    """
    cdef list parts
    if type(value) is str:
        plain = pack_plain(value)
        if plain is not None:
            return plain
    if isinstance(value, bytes):
        return b"\0" + value
    parts = ["\1"]
    write(parts, value, 0)
    return "".join(parts).encode()

def unpack(const uint8_t[::1] payload not None):
    """The value of a payload, of the type that it was. Raises ValueError for what is none."""
    if payload.shape[0] == 0 or payload[0] > JSON:
        raise ValueError("a payload begins with 0 (bytes) or 1 (JSON)")
    return value_of(&payload[0], payload.shape[0])
