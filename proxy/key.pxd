"""Keys: the part of a request that a limit counts by, or a ring hashes."""
from libc.stdint cimport uint8_t, uint32_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.exchange cimport exchange_t
from hotpath.proxy.plan cimport key_t

# Where the key's value lies and its size; False: the request has none. `path` is normalised, without query.
cdef bint key_find(const key_t* key, exchange_t* exchange, const uint8_t* data, const Head* head, const uint8_t* path,
                   uint32_t path_size, const uint8_t** value, uint32_t* size) noexcept nogil
