"""Routes, compiled: which one does a request take?"""
from libc.stdint cimport int64_t

cdef class Route:
    cdef readonly str method            # "" of a websocket
    cdef readonly str pattern
    cdef readonly object handler
    cdef readonly tuple names           # of its parameters, in order
    cdef readonly int64_t max_body      # -1: any; -2: as the server's limits say
    cdef readonly object gate           # of a websocket: what decides before the 101; else None
    cdef readonly int index             # counts from 0, in the order they were added

cdef class Endpoint:
    cdef dict by_method                 # str: Route
    cdef list by_id                     # Method: Route or None; HEAD has GET's unless it has its own
    cdef Route socket                   # a websocket's

    cdef Route pick(self, int method_id, str method, bint socket)
    cdef int note(self, set allowed) except -1

cdef class Node:
    cdef dict statics                   # str: Node
    cdef Node number                    # behind {name:int}
    cdef Node word                      # behind {name}
    cdef Endpoint here                  # the path ends
    cdef Endpoint rest                  # {name:path}

    cdef Route walk(self, list segments, Py_ssize_t i, int method_id, str method, bint socket, list values, set allowed)

cdef class Table:
    cdef readonly list routes
    cdef dict plain                     # bytes of a path without parameters: its Endpoint
    cdef dict raws                      # bytes that a path with a {name:raw} begins with: its Endpoint
    cdef Node root

    # The route, or None: then `allowed` holds the methods that the path has. `values` gets the parameters, in order.
    # `is_plain`: the path needs no decoding. `socket`: an upgrade is asked for.
    cdef Route find(self, int method_id, str method, bytes path, bint is_plain, bint socket, list values, set allowed)
