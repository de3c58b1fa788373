"""Masking keys that no peer can guess (RFC 6455 section 5.3), fetched from the kernel a thousand at a time."""
import os

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cdef enum:
    MASK_BYTES = 4
    # A call of getrandom costs a microsecond or two, of which a frame then pays a thousandth.
    POOL_BYTES = 4096

# Shared by all connections, under the GIL.
cdef uint8_t pool[POOL_BYTES]
cdef Py_ssize_t used = POOL_BYTES


def forget():
    """Throw the pool away: a child must not go on with the keys of its parent."""
    global used
    used = POOL_BYTES


os.register_at_fork(after_in_child=forget)


cdef int refill() except -1:
    global used
    cdef bytes fresh = os.urandom(POOL_BYTES)
    memcpy(pool, PyBytes_AS_STRING(fresh), POOL_BYTES)
    used = 0
    return 0


cdef int next_mask(uint8_t* mask) except -1:
    global used
    if used == POOL_BYTES:
        refill()
    memcpy(mask, pool + used, MASK_BYTES)
    memset(pool + used, 0, MASK_BYTES)      # what was on the wire need not stay in memory
    used += MASK_BYTES
    return 0
