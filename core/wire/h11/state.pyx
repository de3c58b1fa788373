"""Where the two sides of an HTTP/1.1 connection are: who may do what now?

Two tables. An event moves the side that sent it; an entry that is not written is an error. Then the pair of states may
pull one of them along, until nothing changes.
"""
from libc.stdint cimport uint8_t

from hotpath.core.errors import LocalProtocolError
from hotpath.core.wire.h11.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Request,
    Response,
)
from hotpath.core.wire.h11.sentinels import (
    _SWITCH_CONNECT,
    _SWITCH_UPGRADE,
    CLIENT,
    CLOSED,
    DONE,
    ERROR,
    IDLE,
    MIGHT_SWITCH_PROTOCOL,
    MUST_CLOSE,
    SEND_BODY,
    SEND_RESPONSE,
    SERVER,
    SWITCHED_PROTOCOL,
)


cdef extern from *:
    """
    /* State + 1; 0: forbidden. In the order of the enums in state.pxd. */
    static const unsigned char after[2][9][9] = {
        {   /* client:  REQUEST INFO RESPONSE DATA END CLOSED SEEN UPGRADE CONNECT */
            /* IDLE */          {3, 0, 0, 0, 0, 6, 0, 0, 0},
            /* SEND_RESPONSE */ {0, 0, 0, 0, 0, 0, 0, 0, 0},
            /* SEND_BODY */     {0, 0, 0, 3, 4, 0, 0, 0, 0},
            /* DONE */          {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* MUST_CLOSE */    {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* CLOSED */        {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* ERROR */         {0, 0, 0, 0, 0, 0, 0, 0, 0},
            /* MIGHT_SWITCH */  {0, 0, 0, 0, 0, 0, 0, 0, 0},
            /* SWITCHED */      {0, 0, 0, 0, 0, 0, 0, 0, 0},
        },
        {   /* server */
            /* IDLE */          {0, 0, 3, 0, 0, 6, 2, 0, 0},
            /* SEND_RESPONSE */ {0, 2, 3, 0, 0, 0, 0, 9, 9},
            /* SEND_BODY */     {0, 0, 0, 3, 4, 0, 0, 0, 0},
            /* DONE */          {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* MUST_CLOSE */    {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* CLOSED */        {0, 0, 0, 0, 0, 6, 0, 0, 0},
            /* ERROR */         {0, 0, 0, 0, 0, 0, 0, 0, 0},
            /* MIGHT_SWITCH */  {0, 0, 0, 0, 0, 0, 0, 0, 0},
            /* SWITCHED */      {0, 0, 0, 0, 0, 0, 0, 0, 0},
        },
    };
    """
    const uint8_t[2][9][9] after "after"


cdef void cycle_start(Cycle* cycle) noexcept nogil:
    cycle.state[ROLE_CLIENT] = cycle.state[ROLE_SERVER] = STATE_IDLE
    cycle.keep_alive = True
    cycle.proposals = 0


cdef void cycle_propose(Cycle* cycle, int proposals) noexcept nogil:
    if proposals:
        cycle.proposals |= <uint8_t> proposals
        settle(cycle)


cdef void cycle_must_close(Cycle* cycle) noexcept nogil:
    cycle.keep_alive = False
    settle(cycle)


cdef void cycle_fail(Cycle* cycle, int role) noexcept nogil:
    cycle.state[role] = STATE_ERROR
    settle(cycle)


cdef Verdict cycle_move(Cycle* cycle, int role, int move) noexcept nogil:
    if move == MOVE_UPGRADE or move == MOVE_CONNECT:
        if not cycle.proposals & (PROPOSE_UPGRADE if move == MOVE_UPGRADE else PROPOSE_CONNECT):
            return NOT_PROPOSED
    elif move == MOVE_RESPONSE:
        cycle.proposals = 0                             # any other final answer is a no
    if not step(cycle, role, move):
        return FORBIDDEN_CLIENT if role == ROLE_CLIENT else FORBIDDEN_SERVER
    if move == MOVE_REQUEST and not step(cycle, ROLE_SERVER, MOVE_REQUEST_SEEN):
        return FORBIDDEN_SERVER
    settle(cycle)
    return MOVED


cdef bint cycle_restart(Cycle* cycle) noexcept nogil:
    if cycle.state[ROLE_CLIENT] != STATE_DONE or cycle.state[ROLE_SERVER] != STATE_DONE:
        return False
    cycle.state[ROLE_CLIENT] = cycle.state[ROLE_SERVER] = STATE_IDLE
    return True


cdef bint step(Cycle* cycle, int role, int move) noexcept nogil:
    cdef uint8_t state = after[role][cycle.state[role]][move]
    if state == 0:
        return False
    cycle.state[role] = state - 1
    return True


# What follows from the two states together. A proposal goes before closing: a 1.0 client may well ask for CONNECT.
cdef void settle(Cycle* cycle) noexcept nogil:
    cdef uint8_t client, server
    while True:
        client = cycle.state[ROLE_CLIENT]
        server = cycle.state[ROLE_SERVER]
        if cycle.proposals:
            if cycle.state[ROLE_CLIENT] == STATE_DONE:
                cycle.state[ROLE_CLIENT] = STATE_MIGHT_SWITCH
        elif cycle.state[ROLE_CLIENT] == STATE_MIGHT_SWITCH:
            cycle.state[ROLE_CLIENT] = STATE_DONE
        if not cycle.keep_alive:
            if cycle.state[ROLE_CLIENT] == STATE_DONE:
                cycle.state[ROLE_CLIENT] = STATE_MUST_CLOSE
            if cycle.state[ROLE_SERVER] == STATE_DONE:
                cycle.state[ROLE_SERVER] = STATE_MUST_CLOSE
        pull_along(cycle)
        if client == cycle.state[ROLE_CLIENT] and server == cycle.state[ROLE_SERVER]:
            return


cdef void pull_along(Cycle* cycle) noexcept nogil:
    cdef uint8_t client = cycle.state[ROLE_CLIENT]
    cdef uint8_t server = cycle.state[ROLE_SERVER]
    if client == STATE_MIGHT_SWITCH and server == STATE_SWITCHED:
        cycle.state[ROLE_CLIENT] = STATE_SWITCHED
    elif (client == STATE_CLOSED and (server == STATE_DONE or server == STATE_IDLE)) or (
            client == STATE_ERROR and server == STATE_DONE):
        cycle.state[ROLE_SERVER] = STATE_MUST_CLOSE
    elif (server == STATE_CLOSED and (client == STATE_DONE or client == STATE_IDLE)) or (
            server == STATE_ERROR and client == STATE_DONE):
        cycle.state[ROLE_CLIENT] = STATE_MUST_CLOSE


# ---------------------------------------------------------------------------------------------- for Python

cdef list STATES = [IDLE, SEND_RESPONSE, SEND_BODY, DONE, MUST_CLOSE, CLOSED, ERROR, MIGHT_SWITCH_PROTOCOL, SWITCHED_PROTOCOL]
cdef dict MOVES = {
    Request: MOVE_REQUEST,
    InformationalResponse: MOVE_INFORMATIONAL,
    Response: MOVE_RESPONSE,
    Data: MOVE_DATA,
    EndOfMessage: MOVE_END,
    ConnectionClosed: MOVE_CLOSED,
}
cdef dict SWITCHES = {_SWITCH_UPGRADE: MOVE_UPGRADE, _SWITCH_CONNECT: MOVE_CONNECT}
cdef dict PROPOSALS = {_SWITCH_UPGRADE: PROPOSE_UPGRADE, _SWITCH_CONNECT: PROPOSE_CONNECT}


cdef dict states_of(const Cycle* cycle):
    return {CLIENT: STATES[cycle.state[ROLE_CLIENT]], SERVER: STATES[cycle.state[ROLE_SERVER]]}


cdef object explain(const Cycle* cycle, Verdict verdict, str event):
    if verdict == NOT_PROPOSED:
        return LocalProtocolError("the server switches to a protocol that the client has not proposed")
    cdef int role = ROLE_CLIENT if verdict == FORBIDDEN_CLIENT else ROLE_SERVER
    return LocalProtocolError(
        f"no {event} now: role={CLIENT if role == ROLE_CLIENT else SERVER}, state={STATES[cycle.state[role]]}")


cdef class ConnectionState:
    """The two states on their own, as h11's tests and the makers of diagrams know them."""

    def __cinit__(self):
        cycle_start(&self.cycle)

    @property
    def states(self) -> dict:
        """A copy: {CLIENT: state, SERVER: state}."""
        return states_of(&self.cycle)

    @property
    def keep_alive(self) -> bool:
        """Nobody has said: close."""
        return bool(self.cycle.keep_alive)

    @property
    def pending_switch_proposals(self) -> set:
        """A copy: the switches the client proposed and the server has not answered."""
        return {switch for switch, bit in PROPOSALS.items() if self.cycle.proposals & <int> bit}

    def process_error(self, role) -> None:
        """That side is in ERROR."""
        cycle_fail(&self.cycle, ROLE_CLIENT if role is CLIENT else ROLE_SERVER)

    def process_keep_alive_disabled(self) -> None:
        """Somebody said: close."""
        cycle_must_close(&self.cycle)

    def process_client_switch_proposal(self, switch_event) -> None:
        """The client proposes another protocol."""
        cycle_propose(&self.cycle, PROPOSALS[switch_event])

    def process_event(self, role, event_type, server_switch_event=None) -> None:
        """`role` sent an event of that type; LocalProtocolError if it must not now."""
        cdef int move = MOVES[event_type] if server_switch_event is None else SWITCHES[server_switch_event]
        cdef Verdict verdict = cycle_move(&self.cycle, ROLE_CLIENT if role is CLIENT else ROLE_SERVER, move)
        if verdict < 0:
            raise explain(&self.cycle, verdict, event_type.__name__)

    def start_next_cycle(self) -> None:
        """From DONE to IDLE, on both sides; LocalProtocolError if they are not both DONE."""
        if not cycle_restart(&self.cycle):
            raise LocalProtocolError(f"not in a reusable state: {self.states}")
