"""The states of an exchange, and the deadlines of its two connections."""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint8_t

from hotpath.core.net.epoll cimport Deadline, loop_arm, loop_modify
from hotpath.core.net.linux cimport EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from hotpath.core.net.room cimport room_of
from hotpath.core.net.stream cimport stream_t

# state -> the states it may go on to, one bit each.
cdef uint16_t[N_STATES] MOVES
MOVES[<int>STATE_ROUTE] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_CONNECT] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_SEND] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_BODY | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_WAIT] = 1 << STATE_CONNECT | 1 << STATE_SEND | 1 << STATE_WAIT | 1 << STATE_BODY | 1 << STATE_TUNNEL \
    | 1 << STATE_ANSWER | 1 << STATE_DONE
MOVES[<int>STATE_BODY] = 1 << STATE_DONE
MOVES[<int>STATE_TUNNEL] = 1 << STATE_DONE
MOVES[<int>STATE_ANSWER] = 1 << STATE_DONE
MOVES[<int>STATE_DONE] = 0

cdef extern from "<assert.h>" nogil:
    void assert_that "assert" (bint truth)

cdef void move(exchange_t* exchange, int state) noexcept nogil:
    assert_that(MOVES[exchange.state] >> state & 1)
    exchange.state = <uint8_t>state

cdef stream_t* stream_of(Deadline* deadline) noexcept nogil:
    # offsetof, spelled so that no null pointer is dereferenced
    return <stream_t*>(<char*>deadline - (<size_t>&(<stream_t*><size_t>4096).deadline - 4096))

cdef exchange_t* exchange_of(Deadline* deadline) noexcept nogil:
    return <exchange_t*>(<char*>deadline - (<size_t>&(<exchange_t*><size_t>4096).deadline - 4096))

cdef size_t piece_bytes(stream_t* sink, bint full) noexcept nogil:
    """Every read brings on acknowledgements and every send wake-ups, so that few large ones cost far less than many small ones.

    But what the sink does not take stays in memory: more than PIECE_BYTES only as far as its socket has room. Only a read that came full
    makes the question worth a system call.
    """
    return max(<size_t>PIECE_BYTES, min(room_of(sink.source.fd), <size_t>BULK_BYTES)) - FRAMING_BYTES if full else PIECE_BYTES - FRAMING_BYTES

cdef void look_again(stream_t* stream) noexcept nogil:
    """It had its share of this turn: a fresh edge for what still waits."""
    loop_modify(stream.loop, &stream.source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | <uint32_t>EPOLLET)

cdef void arm(client_t* client, int64_t after_ms) noexcept nogil:
    loop_arm(client.relay.loop, &client.stream.deadline, client.relay.loop.now_ms + (after_ms if after_ms else FOR_EVER_MS))

cdef void arm_rest(client_t* client) noexcept nogil:
    arm(client, client.relay.grace_ms if client.relay.draining else client.relay.plan.timeouts.idle)

cdef void arm_peer(peer_t* peer, int64_t after_ms) noexcept nogil:
    loop_arm(peer.relay.loop, &peer.stream.deadline, peer.relay.loop.now_ms + (after_ms if after_ms else FOR_EVER_MS))
