"""Channel to sockets: an event's frame, made once, on its way to every member."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hotpath.core.serve.outbox cimport block_t
from hotpath.core.serve.push cimport PushSocket, push_t

cdef struct channel_t

# A member's place in a channel.
cdef struct seat_t:
    channel_t* channel          # borrowed: a channel lives longer than its seats
    uint32_t at                 # channel.members[at] is us

cdef struct member_t:
    push_t* push                # borrowed: ours
    void* owner                 # borrowed: the Member
    int64_t user
    seat_t* seats               # owned
    uint32_t n_seats
    uint32_t room

cdef struct channel_t:
    int64_t id
    uint64_t next               # seq awaited: all below were queued to every member
    block_t** ring              # owned references: of seq s at s & (ring_room - 1)
    uint32_t ring_room          # a power of two; grows up to ring_most
    uint32_t ring_most
    uint32_t n_ring             # the last so many events are there
    member_t** members          # borrowed
    uint32_t n_members
    uint32_t members_room

cdef class Member(PushSocket):
    cdef member_t m
    cdef public int64_t session

cdef class Channel:
    cdef channel_t c
    cdef dict held              # seq: (Block, flags, actor, subject), all above `next`
    cdef readonly bint gapped   # the gap was told, and is not mended yet
    cdef public object state    # the gateway's own
