"""Where the two sides of an HTTP/1.1 connection are: plain data and its moves."""
from libc.stdint cimport uint8_t

cdef enum:                      # Role: not a named enum, for Cython takes none as an index
    ROLE_CLIENT = 0
    ROLE_SERVER
    N_ROLES

cdef enum:                      # State
    STATE_IDLE = 0
    STATE_SEND_RESPONSE
    STATE_SEND_BODY
    STATE_DONE
    STATE_MUST_CLOSE
    STATE_CLOSED
    STATE_ERROR
    STATE_MIGHT_SWITCH
    STATE_SWITCHED
    N_STATES

cdef enum:                      # Move
    MOVE_REQUEST = 0
    MOVE_INFORMATIONAL
    MOVE_RESPONSE
    MOVE_DATA
    MOVE_END
    MOVE_CLOSED
    MOVE_REQUEST_SEEN           # the server sees the client's request
    MOVE_UPGRADE                # the 101 that accepts an upgrade
    MOVE_CONNECT                # the 2xx that accepts a CONNECT
    N_MOVES

cdef enum:                      # Cycle.proposals
    PROPOSE_UPGRADE = 1
    PROPOSE_CONNECT = 2

cdef enum Verdict:
    FORBIDDEN_CLIENT = -3       # the client's state does not know this move
    FORBIDDEN_SERVER = -2
    NOT_PROPOSED = -1           # the server accepts what the client has not proposed
    MOVED = 0

# All that lasts while a request and its response are exchanged.
cdef struct Cycle:
    uint8_t state[2]            # [Role]
    uint8_t keep_alive
    uint8_t proposals           # PROPOSE_ bits the server has not answered

cdef void cycle_start(Cycle* cycle) noexcept nogil
cdef void cycle_propose(Cycle* cycle, int proposals) noexcept nogil
cdef void cycle_must_close(Cycle* cycle) noexcept nogil         # somebody said: close
cdef void cycle_fail(Cycle* cycle, int role) noexcept nogil     # that side is in ERROR
cdef Verdict cycle_move(Cycle* cycle, int role, int move) noexcept nogil
cdef bint cycle_restart(Cycle* cycle) noexcept nogil            # False: it is not DONE on both sides

cdef class ConnectionState:
    cdef Cycle cycle

cdef list STATES                # the sentinels, by State
cdef object explain(const Cycle* cycle, Verdict verdict, str event)     # LocalProtocolError for a verdict below 0
cdef dict states_of(const Cycle* cycle)
