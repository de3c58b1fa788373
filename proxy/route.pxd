"""Routing at C level: which route does a request take?"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hotpath.core.wire.http1 cimport Head
from hotpath.proxy.plan cimport route_t, text_t

cdef enum:
    MAX_REFUSED = 16            # routes named in one Allow
    ABOVE_ROOT = -1

# The routes that one host pattern and one path pattern lead to, best first.
cdef struct chain_t:
    route_t** routes            # owned by the Plan's arena
    uint32_t n_routes

cdef struct entry_t:            # of the hash table; `size` 0xFFFFFFFF: empty
    uint64_t hash
    text_t text                 # a host, or a path
    uint32_t kind               # the group it belongs to and what it is
    chain_t chain               # of a path
    uint32_t group              # of a host

cdef struct pattern_t:          # a regex route
    void* regex                 # borrowed
    chain_t chain

cdef struct group_t:            # the routes of one host pattern
    pattern_t* patterns         # in file order
    uint32_t n_patterns
    chain_t rest                # routes without a path condition

# `route` NULL: none. Then n_refused > 0 says that only the method was wrong.
cdef struct match_t:
    route_t* route
    route_t* refused[MAX_REFUSED]
    uint32_t n_refused

cdef struct table_t:
    entry_t* entries
    uint64_t mask
    group_t* groups             # 0: routes without a host
    bint has_hosts
    bint has_wildcards
    void* owner                 # borrowed: the Table, for its cache

cdef class Table:
    cdef table_t c
    cdef object plan            # keeps what the entries borrow
    cdef readonly dict cache    # (pattern, text) -> found; bounded

# `path` is normalised, without query; "/" for "*".
cdef void table_match(table_t* table, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                      match_t* found) noexcept nogil

# The size of a Host's value without its port and the root's dot ("a.example." is "a.example"), which take no part in matching.
cdef uint32_t host_size(const uint8_t* host, uint32_t size) noexcept nogil

# Writes the path to `out` (of `size` bytes) without dot segments and with no unreserved character escaped (RFC 3986 sections
# 5.2.4, 6.2.2.2): whoever means /admin must not walk around its route as /%61dmin. Its size, or ABOVE_ROOT.
cdef int normalise(const uint8_t* path, uint32_t size, uint8_t* out) noexcept nogil
