"""Stamps: when was it written, and by whom?

A hybrid logical clock in one word, milliseconds since 1970 << 16 | a count, after Kulkarni and others, "Logical Physical
Clocks", OPODIS 2014; and the name of the replica that the write entered at.
"""
from cpython.object cimport PyObject_RichCompare
from libc.stdint cimport uint64_t

cimport cython

import re

cdef object NAME = re.compile(r"[a-z0-9]{1,8}")
cdef object TEXT = re.compile(r"([0-9a-f]{16})-([a-z0-9]{1,8})")


cdef uint64_t name_of(str replica) except 0:
    cdef uint64_t name = 0
    cdef Py_UCS4 c
    if NAME.fullmatch(replica) is None:
        raise ValueError(f"{replica!r} is no replica's name; allowed: 1 to 8 of a-z and 0-9")
    for c in replica:
        name = name << 8 | <uint64_t>c
    return name << 8 * (8 - len(replica))

cdef str replica_of(uint64_t name):
    cdef bytes text = b""
    while name:
        text += bytes((name >> 56,))
        name <<= 8
    return text.decode("ascii")

cdef Stamp stamp_of(uint64_t hlc, uint64_t name):
    cdef Stamp stamp = Stamp.__new__(Stamp)
    stamp.hlc = hlc
    stamp.name = name
    return stamp


@cython.final
@cython.freelist(64)
cdef class Stamp:
    """When and where a write entered; of two the greater one wins. Ordered by hlc, then by replica."""

    def __init__(self, object hlc, str replica):
        """`hlc`: milliseconds since 1970 << 16 | a count. Raises ValueError for what fits no word, or is no name."""
        if self.name:
            raise TypeError("a Stamp does not change")
        if not 0 <= hlc < 1 << 64:
            raise ValueError(f"hlc {hlc} is not in 0 to 2**64 - 1")
        self.hlc = hlc
        self.name = name_of(replica)

    @property
    def replica(self):
        """The name of the replica."""
        return replica_of(self.name)

    @staticmethod
    def parse(str text):
        """The stamp that `str` wrote. Raises ValueError."""
        match = TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no stamp; allowed: 16 hex digits, a dash, the replica's name")
        return Stamp(int(match[1], 16), match[2])

    def __str__(self):
        return f"{self.hlc:016x}-{replica_of(self.name)}"

    def __repr__(self):
        return f"Stamp({self.hlc:#x}, {replica_of(self.name)!r})"

    def __hash__(self):
        return hash((self.hlc, self.name))

    def __richcmp__(self, object other, int op):
        if not isinstance(other, Stamp):
            return NotImplemented
        return PyObject_RichCompare((self.hlc, self.name), ((<Stamp>other).hlc, (<Stamp>other).name), op)

    def __reduce__(self):
        return Stamp, (self.hlc, replica_of(self.name))
