"""The PROXY protocol's header, version 1 and 2: whom does the peer forward?"""
from libc.stdint cimport uint8_t

cdef enum:
    PREFACE_NEED_MORE = -2      # not a whole header yet
    PREFACE_BROKEN = -1         # it is none: close
    PREFACE_BYTES = 4112        # the longest that is taken: 16, and 4 KiB of addresses and TLVs

# What a header says of the client.
cdef enum Origin:
    ORIGIN_PEER = 0             # LOCAL: the peer speaks for itself
    ORIGIN_UNKNOWN              # UNKNOWN, UNSPEC: somebody the peer cannot name
    ORIGIN_IP                   # `address`
    ORIGIN_UNIX                 # somebody on a unix socket of the peer's machine

cdef struct preface_t:
    uint8_t origin              # Origin
    uint8_t[16] address         # the source's, IPv4 as ::ffff:a.b.c.d

# Bytes consumed (> 0), PREFACE_NEED_MORE or PREFACE_BROKEN. Keeps nothing, not even of an earlier call.
cdef Py_ssize_t parse_preface(const uint8_t* data, size_t size, preface_t* preface) noexcept nogil
