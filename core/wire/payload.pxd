"""The payload of a body, moved together."""
from libc.stdint cimport uint8_t

from hotpath.core.wire.http1 cimport Body

# Decodes what it can of `data` and closes the gaps that chunk lines leave. Bytes consumed, or -1: broken (body.error).
# payload[0] is where it lies inside `data`, n_payload[0] its size.
cdef Py_ssize_t take_payload(Body* body, uint8_t* data, size_t size, uint8_t** payload, size_t* n_payload) noexcept nogil
