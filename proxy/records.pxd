"""A server's record in shared memory, at C level: what the warden writes and each worker copies."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from hotpath.core.data.shared cimport Block
from hotpath.core.net.linux cimport sockaddr_storage

cdef enum:
    MAX_NAME_BYTES = 286        # of an address as text: a host name has at most 253 bytes, a unix path 107; fills cache lines

# Two of them per record: a writer fills the one that is not in use, then turns `current` over. Whoever reads one checks behind it
# that no other was begun meanwhile.
cdef struct facts_t:
    sockaddr_storage address
    uint32_t address_size
    int32_t weight
    uint32_t max_connections
    uint32_t moves              # how often the name got another address, or the slot another server
    uint8_t used                # 0: a free slot
    uint8_t draining            # no new requests
    uint8_t leaving             # draining, then free
    uint8_t backup
    uint8_t from_admin          # added at run time
    uint16_t name_size
    uint8_t[MAX_NAME_BYTES] name    # the address as the file or the admin spelled it

# Health and speed: any worker writes, with atomics.
cdef struct health_t:
    int64_t failures            # in the window that began at window_us
    int64_t window_us
    int64_t ejected_until_us    # 0: not ejected. In the past: the next request that moves it on is the probe
    int64_t down                # 1: active checks fail
    int64_t since_us            # in service again since then; 0: since the start. For slow start
    int64_t ewma_us             # the bits of a double: of the time to the head of an answer; 0: none came
    int64_t ewma_at_us
    int64_t all_failures

cdef struct record_t:
    health_t health             # a cache line of its own
    int64_t writes              # begun; atomics
    int64_t current             # of `facts`
    facts_t[2] facts

cdef class Records:
    cdef Block block
    cdef int64_t* generation    # of all records; atomics
    cdef int64_t* seen          # by each worker
    cdef record_t* records
    cdef readonly int n_slots
    cdef readonly int workers

    cdef record_t* at(self, int slot) except NULL

# A copy that is whole. False: the slot is free.
cdef bint record_read(record_t* record, facts_t* facts) noexcept nogil
