"""Channel to sockets: an event's frame, made once, on its way to every member.

A channel knows which seq it awaits, keeps the last events in a ring, and holds what came too early. So whatever Redis loses, doubles
or swaps, members get each event once and in order: what is missing is told (`on_gap`), and comes from the database by the same door.

Deliveries touch no Python object. An event that changes who is a member is told right behind its delivery (`on_membership`).
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy

from hotpath.core.serve.outbox cimport Block, block_drop, block_t
from hotpath.core.serve.push cimport push_put, push_put_transient

import logging

from hotpath.chat import topics

log = logging.getLogger(__name__)

cdef enum:
    HEAD_BYTES = 40
    KIND_EVENT = 1
    KIND_TYPING = 2
    FLAG_JOINED = 1
    FLAG_LEFT = 2
    FIRST_RING = 16
    FIRST_MEMBERS = 8
    MAX_LINE = 64               # of a RESP head: a type and a number
    MAX_BULK = 512 << 20        # Redis' own limit

if topics.HEAD.size != HEAD_BYTES or topics.VERSION != 1:
    raise ImportError("topics.py and fanout.pyx do not agree")


# ---------------------------------------------------------------------------------------------------- seats and the ring

cdef bint sit(channel_t* channel, member_t* member) noexcept nogil:
    """False: no memory."""
    cdef member_t** members
    cdef seat_t* seats
    cdef uint32_t room
    if channel.n_members == channel.members_room:
        room = max(2 * channel.members_room, <uint32_t>FIRST_MEMBERS)
        members = <member_t**>realloc(channel.members, room * sizeof(member_t*))
        if members == NULL:
            return False
        channel.members, channel.members_room = members, room
    if member.n_seats == member.room:
        room = member.room + max(member.room // 2, <uint32_t>4)
        seats = <seat_t*>realloc(member.seats, room * sizeof(seat_t))
        if seats == NULL:
            return False
        member.seats, member.room = seats, room
    member.seats[member.n_seats].channel = channel
    member.seats[member.n_seats].at = channel.n_members
    member.n_seats += 1
    channel.members[channel.n_members] = member
    channel.n_members += 1
    return True


cdef seat_t* seat_of(member_t* member, const channel_t* channel) noexcept nogil:
    """NULL: it has none there."""
    cdef uint32_t i
    for i in range(member.n_seats):
        if member.seats[i].channel == channel:
            return &member.seats[i]
    return NULL


cdef void leave(member_t* member, seat_t* seat) noexcept nogil:
    cdef channel_t* channel = seat.channel
    cdef member_t* last
    channel.n_members -= 1
    last = channel.members[channel.n_members]
    if last != member:
        channel.members[seat.at] = last
        seat_of(last, channel).at = seat.at
    member.n_seats -= 1
    seat[0] = member.seats[member.n_seats]


cdef void leave_all(member_t* member) noexcept nogil:
    while member.n_seats:
        leave(member, &member.seats[member.n_seats - 1])
    free(member.seats)
    member.seats = NULL
    member.room = 0


cdef bint remember(channel_t* channel, block_t* block) noexcept nogil:
    """The event `next`. False: no memory."""
    cdef block_t** ring
    cdef uint64_t seq
    cdef uint32_t room
    if channel.n_ring == channel.ring_room and channel.ring_room < channel.ring_most:
        room = 2 * channel.ring_room if channel.ring_room else <uint32_t>FIRST_RING
        ring = <block_t**>malloc(room * sizeof(block_t*))
        if ring == NULL:
            return False
        for seq in range(channel.next - channel.n_ring, channel.next):
            ring[seq & (room - 1)] = channel.ring[seq & (channel.ring_room - 1)]
        free(channel.ring)
        channel.ring, channel.ring_room = ring, room
    if channel.n_ring == channel.ring_room:
        block_drop(channel.ring[channel.next & (channel.ring_room - 1)])
        channel.n_ring -= 1
    block.refs += 1
    channel.ring[channel.next & (channel.ring_room - 1)] = block
    channel.n_ring += 1
    channel.next += 1
    return True


cdef void forget(channel_t* channel) noexcept nogil:
    cdef uint64_t seq
    for seq in range(channel.next - channel.n_ring, channel.next):
        block_drop(channel.ring[seq & (channel.ring_room - 1)])
    free(channel.ring)
    channel.ring = NULL
    channel.n_ring = channel.ring_room = 0


cdef void fan(channel_t* channel, block_t* block) noexcept nogil:
    cdef uint32_t i
    for i in range(channel.n_members):
        push_put(channel.members[i].push, block)


cdef void fan_transient(channel_t* channel, block_t* block, int64_t but_user) noexcept nogil:
    cdef uint32_t i
    for i in range(channel.n_members):
        if channel.members[i].user != but_user:
            push_put_transient(channel.members[i].push, block)


# --------------------------------------------------------------------------------------------------- members and channels

cdef class Member(PushSocket):
    """One websocket of a user; the gateway's sessions are a subclass of it."""

    def __cinit__(self):
        self.m.push, self.m.owner = &self.c, <void*>self

    def __dealloc__(self):
        leave_all(&self.m)

    @property
    def user(self) -> int:
        """Whose it is; 0: not yet known."""
        return self.m.user

    @user.setter
    def user(self, int64_t user) -> None:
        self.m.user = user

    def channels(self) -> list:
        """The ids of the channels in which it is live."""
        cdef uint32_t i
        return [self.m.seats[i].channel.id for i in range(self.m.n_seats)]

    def leave_all(self) -> None:
        """Be live nowhere."""
        leave_all(&self.m)


cdef class Channel:
    """One channel as this gateway knows it."""

    def __cinit__(self):
        self.held = {}

    def __dealloc__(self):
        # Its members may live on: a gateway that closes a channel has removed them, a test need not.
        while self.c.n_members:
            leave(self.c.members[0], seat_of(self.c.members[0], &self.c))
        free(self.c.members)
        forget(&self.c)

    @property
    def id(self) -> int:
        """The channel's."""
        return self.c.id

    @property
    def next(self) -> int:
        """The seq that is awaited: everything below was queued to every live member."""
        return self.c.next

    @property
    def oldest(self) -> int:
        """The first seq that is still in the ring; `next` when none is."""
        return self.c.next - self.c.n_ring

    @property
    def gap_end(self) -> int:
        """The first seq behind the gap; `next` when there is none."""
        return min(self.held, default=self.c.next)

    @property
    def n_members(self) -> int:
        """Live sockets."""
        return self.c.n_members

    def members(self) -> list:
        """Live sockets."""
        cdef uint32_t i
        return [<object>self.c.members[i].owner for i in range(self.c.n_members)]

    def has(self, Member member) -> bool:
        """Whether the socket is live here."""
        return seat_of(&member.m, &self.c) != NULL


cdef class Fanout:
    """The channels of one gateway.

    `prefix`: of Redis topics. `ring`: events kept of each channel, rounded up to a power of two. The rest is called, in the hub
    or wherever `feed` and `publish` are, and must not wait:

        on_gap(channel)                                 something above `next` is held, and nothing was held before
        on_membership(channel, seq, subject, joined)    right behind that event's delivery
        on_other(kind, topic, payload)                  what Redis said besides: "message" of another topic with its bytes,
                                                        "subscribe" and "unsubscribe" with a count, "pong" and "error" without a topic
    """

    cdef dict channels
    cdef bytes prefix
    cdef uint32_t ring
    cdef object on_gap
    cdef object on_membership
    cdef object on_other
    cdef bytes rest             # of what was fed: the beginning of a reply
    cdef readonly uint64_t n_events         # delivered to their channel
    cdef readonly uint64_t n_stale          # below `next`
    cdef readonly uint64_t n_early          # held
    cdef readonly uint64_t n_deliveries     # to sockets

    def __init__(self, str prefix, *, uint32_t ring, on_gap, on_membership, on_other):
        self.channels, self.rest = {}, b""
        self.prefix = f"{prefix}c:".encode()
        self.ring = FIRST_RING
        while self.ring < ring:
            self.ring *= 2
        self.on_gap, self.on_membership, self.on_other = on_gap, on_membership, on_other

    def __len__(self) -> int:
        return len(self.channels)

    def open(self, int64_t channel, uint64_t next) -> Channel:
        """Begin with a channel whose next event is `next`. KeyError when it is open already."""
        cdef Channel made = Channel.__new__(Channel)
        if channel in self.channels:
            raise KeyError(channel)
        made.c.id, made.c.next, made.c.ring_most = channel, next, self.ring
        self.channels[channel] = made
        return made

    def get(self, int64_t channel) -> Channel | None:
        """The channel, if it is open."""
        return self.channels.get(channel)

    def ids(self) -> list:
        """Of the open channels."""
        return list(self.channels)

    def close(self, int64_t channel) -> None:
        """Forget it; its live members hear no more of it."""
        cdef Channel gone = self.channels.pop(channel, None)
        if gone is not None:
            while gone.c.n_members:
                leave(gone.c.members[0], seat_of(gone.c.members[0], &gone.c))

    # Who is live

    def attach(self, Channel channel, Member member, uint64_t since) -> bool:
        """Queue what the ring has behind `since` and make the socket live, in one go.

        False: the ring begins later than that; read what lies before it, and try again. True also when it was live.
        """
        cdef uint64_t seq
        if seat_of(&member.m, &channel.c) != NULL:
            return True
        if since + 1 < channel.c.next - channel.c.n_ring:
            return False
        for seq in range(since + 1, channel.c.next):
            if not push_put(&member.c, channel.c.ring[seq & (channel.c.ring_room - 1)]):
                return True                 # closed: it gets nothing any more, live or not
            self.n_deliveries += 1
        if not sit(&channel.c, &member.m):
            raise MemoryError
        return True

    def detach(self, Channel channel, Member member) -> bool:
        """The socket is live there no more. False: it was not."""
        cdef seat_t* seat = seat_of(&member.m, &channel.c)
        if seat == NULL:
            return False
        leave(&member.m, seat)
        return True

    def remove(self, Channel channel, int64_t user) -> list:
        """No socket of the user is live there any more; those that were."""
        cdef list removed = []
        cdef uint32_t i = 0
        cdef member_t* member
        while i < channel.c.n_members:
            member = channel.c.members[i]
            if member.user == user:
                removed.append(<object>member.owner)
                leave(member, seat_of(member, &channel.c))
            else:
                i += 1
        return removed

    # Events

    def publish(self, int64_t channel, uint64_t seq, frame, *, int flags=0, int64_t actor=0, int64_t subject=0) -> bool:
        """An event from the database: its JSON as the client gets it. True: it was delivered now."""
        cdef Channel to = self.channels.get(channel)
        cdef const uint8_t[::1] view
        if to is None:
            return False
        view = frame
        return self.arrive(to, seq, &view[0], view.shape[0], flags, subject)

    cdef bint arrive(self, Channel channel, uint64_t seq, const uint8_t* data, size_t size, int flags, int64_t subject) except -1:
        cdef Block block
        if seq < channel.c.next:
            self.n_stale += 1
            return False
        if seq > channel.c.next + channel.c.ring_most or (seq > channel.c.next and len(channel.held) >= channel.c.ring_most):
            # Too far ahead to be held; but that something is missing is known.
            self.tell_gap(channel)
            return False
        block = Block((<const char*>data)[:size], text=True)
        if seq > channel.c.next:
            self.n_early += 1
            channel.held[seq] = (block, flags, subject)
            self.tell_gap(channel)
            return False
        self.deliver(channel, block, flags, subject)
        while channel.held:
            early = channel.held.pop(channel.c.next, None)
            if early is None:
                break
            self.deliver(channel, <Block>early[0], early[1], early[2])
        if not channel.held:
            channel.gapped = False
        return True

    cdef int tell_gap(self, Channel channel) except -1:
        if not channel.gapped:
            channel.gapped = True
            self.on_gap(channel)
        return 0

    cdef int deliver(self, Channel channel, Block block, int flags, int64_t subject) except -1:
        cdef uint64_t seq = channel.c.next
        with nogil:
            if not remember(&channel.c, block.c):
                with gil:
                    raise MemoryError
            fan(&channel.c, block.c)
        self.n_events += 1
        self.n_deliveries += channel.c.n_members
        if flags & (FLAG_JOINED | FLAG_LEFT):
            self.on_membership(channel, seq, subject, bool(flags & FLAG_JOINED))
        return 0

    def settle(self, Channel channel) -> None:
        """The gap is looked after, and what was held and is stale by now goes: a further one is told again."""
        cdef uint64_t seq
        for seq in [seq for seq in channel.held if seq < channel.c.next]:
            del channel.held[seq]
        channel.gapped = False

    def skip(self, Channel channel, uint64_t next) -> None:
        """Go on at `next` without what lies between: its live members were sent a reset. Held events below it go."""
        if next < channel.c.next:
            raise ValueError(f"next {next}: already at {channel.c.next}")
        forget(&channel.c)
        channel.c.next = next
        self.settle(channel)

    def typing(self, Channel channel, int64_t actor, Block block) -> None:
        """To the channel's live sockets but the actor's own."""
        fan_transient(&channel.c, block.c, actor)

    # What Redis says

    def feed(self, data) -> None:
        """Bytes of a RESP2 connection that subscribes. Raises ValueError for what no Redis says: connect anew."""
        cdef bytes whole = self.rest + data if self.rest else bytes(data)
        cdef const uint8_t* start = whole
        cdef Py_ssize_t size = len(whole), at = 0, used
        self.rest = b""         # an error leaves nothing half-read
        while at < size:
            used = self.reply(start + at, size - at)
            if used == 0:
                break
            at += used
        self.rest = whole[at:]

    def reset(self) -> None:
        """Forget half a reply: the connection is another one."""
        self.rest = b""

    cdef Py_ssize_t reply(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Bytes of one whole reply; 0: it is not whole."""
        cdef const uint8_t* item[3]
        cdef Py_ssize_t item_size[3]
        cdef int64_t count, number
        cdef Py_ssize_t at = read_number(data, size, &count), used
        cdef int i
        if at == 0:
            return 0
        if data[0] == c'+' or data[0] == c'-':
            self.on_other("pong" if data[0] == c'+' else "error", "", (<const char*>data)[1:at - 2])
            return at
        if data[0] == c':':
            return at
        if data[0] != c'*' or not 2 <= count <= 3:
            raise ValueError(f"not a reply to a subscriber: {(<const char*>data)[:at]!r}")
        for i in range(<int>count):
            used = read_number(data + at, size - at, &number)
            if used == 0:
                return 0
            if data[at] == c':':
                item[i], item_size[i] = NULL, number
                at += used
            elif data[at] == c'$' and -1 <= number <= MAX_BULK:
                at += used
                if number < 0:          # nothing, as Redis spells it
                    item[i], item_size[i] = data, 0
                    continue
                if size - at < number + 2:
                    return 0
                item[i], item_size[i] = data + at, number
                at += number + 2
            else:
                raise ValueError(f"not a reply to a subscriber: {(<const char*>data)[:min(size, MAX_LINE)]!r}")
        if item[0] == NULL:
            raise ValueError("a reply to a subscriber begins with its kind")
        if count == 3 and item_size[0] == 7 and memcmp(item[0], b"message", 7) == 0 and item[1] != NULL and item[2] != NULL:
            self.message(item[1], item_size[1], item[2], item_size[2])
        else:
            kind = (<const char*>item[0])[:item_size[0]].decode()
            topic = (<const char*>item[1])[:item_size[1]].decode() if item[1] != NULL else ""
            self.on_other(kind, topic, None if count == 2 else
                          item_size[2] if item[2] == NULL else (<const char*>item[2])[:item_size[2]])
        return at

    cdef int message(self, const uint8_t* topic, Py_ssize_t topic_size, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Channel channel
        cdef const char* prefix = self.prefix
        cdef Py_ssize_t prefix_size = len(self.prefix)
        cdef uint64_t words[4]
        if topic_size <= prefix_size or memcmp(topic, prefix, prefix_size) != 0:
            self.on_other("message", (<const char*>topic)[:topic_size].decode(), (<const char*>data)[:size])
            return 0
        if size <= HEAD_BYTES or data[0] != 1:
            log.warning("redis: not of ours topic=%r bytes=%d", (<const char*>topic)[:topic_size], size)
            return 0
        memcpy(words, data + 8, sizeof(words))      # channel, seq, actor, subject
        channel = self.channels.get(words[0])
        if channel is None:
            return 0                                # the last member left meanwhile
        if data[1] == KIND_EVENT:
            self.arrive(channel, words[1], data + HEAD_BYTES, size - HEAD_BYTES, data[2], <int64_t>words[3])
        elif data[1] == KIND_TYPING:
            self.typing(channel, <int64_t>words[2], Block((<const char*>data)[HEAD_BYTES:size], text=True))
        return 0


cdef Py_ssize_t read_number(const uint8_t* data, Py_ssize_t size, int64_t* number) except -1:
    """Of a line as `*3` or `:-1`, with its end; `+` and `-` have text instead. Its bytes, or 0: it is not whole."""
    cdef const uint8_t* end = <const uint8_t*>memchr(data, c'\n', size)
    cdef const uint8_t* at = data + 1
    cdef bint negative = False
    number[0] = 0
    if end == NULL:
        if size > 65536:
            raise ValueError("a line without an end")
        return 0
    if end - data < 2 or end[-1] != c'\r':
        raise ValueError(f"not RESP: {(<const char*>data)[:min(size, MAX_LINE)]!r}")
    if data[0] == c'+' or data[0] == c'-':
        return end + 1 - data
    if at[0] == c'-':
        negative = True
        at += 1
    if at == end - 1 or end - at > 20:
        raise ValueError(f"not RESP: {(<const char*>data)[:min(size, MAX_LINE)]!r}")
    while at < end - 1:
        if not c'0' <= at[0] <= c'9':
            raise ValueError(f"not RESP: {(<const char*>data)[:min(size, MAX_LINE)]!r}")
        number[0] = number[0] * 10 + (at[0] - c'0')
        at += 1
    if negative:
        number[0] = -number[0]
    return end + 1 - data
