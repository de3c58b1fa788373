"""The fields of a message, as parsed bytes until somebody asks for pairs."""
from libc.stdint cimport int64_t, uint8_t

from hotpath.core.wire.head cimport Field, Head

cdef class Headers:
    cdef list items             # of (name as sent, name in small letters, value); None: still in `raw`
    cdef bytes raw              # the parsed bytes
    cdef Py_ssize_t base        # in `raw`, where the offsets of `fields` count from
    cdef Field* fields          # owned; freed in __dealloc__; NULL unless parsed
    cdef Py_ssize_t n_fields

    cdef list full_items(self)  # `items`, made now if need be; not to be changed
    cdef list read_fields(self, bint as_pairs)
    cdef list pairs(self)       # of (name in small letters, value)

# What the fields of a message to be sent mean for its framing and for the connection.
cdef struct Facts:
    uint8_t has_coding          # Transfer-Encoding, which can only be chunked
    uint8_t has_length          # Content-Length
    uint8_t close
    uint8_t upgrades
    uint8_t expects_continue    # whatever the version
    int64_t length              # 2**63-1 for whatever is beyond it

cdef int read_facts(Headers headers, Facts* facts) except -1

cdef Headers NO_HEADERS
cdef Headers parsed_headers(bytes raw, Py_ssize_t base, const Head* head)   # `raw` is shared
cdef Headers checked_headers(object headers)    # Headers as they are; pairs through normalize_and_validate
cdef Headers with_header(Headers headers, bytes name, list values)          # set_comma_header
cdef list comma_items(Headers headers, bytes name)                          # get_comma_header
cdef bytes as_bytes(object text)
cdef bint is_token(bytes text) noexcept
cdef bint is_value(bytes text) noexcept
cdef bint is_visible(bytes text) noexcept
