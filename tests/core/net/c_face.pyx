# cython: language_level=3
"""What only C handlers can do to each other, within one batch of events; compiled by test_epoll.py."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from hotpath.core.net.epoll cimport (
    Deferred, RANK_ACCEPT, RANK_CLIENT, RANK_UPSTREAM, Source, loop_add, loop_close, loop_defer, loop_modify, loop_remove,
    loop_t)
from hotpath.core.net.linux cimport EPOLLIN
from hotpath.core.net.loop cimport Loop

cdef enum:
    N = 8


cdef struct item_t:
    Source source               # first
    Deferred deferred
    table_t* table


cdef struct table_t:
    loop_t* loop
    item_t items[N]
    uint8_t order[64]           # of what ran: the item, or 100 + the item when deferred
    uint32_t n_ran
    int act                     # see Table


cdef void note(table_t* table, int what) noexcept nogil:
    if table.n_ran < 64:
        table.order[table.n_ran] = <uint8_t>what
        table.n_ran += 1


cdef void on_deferred(Deferred* deferred) noexcept nogil:
    cdef item_t model
    cdef item_t* item = <item_t*>(<size_t>deferred - (<size_t>&model.deferred - <size_t>&model))
    cdef table_t* table = item.table
    note(table, 100 + <int>(item - table.items))
    if item == &table.items[0]:
        loop_defer(table.loop, &table.items[N - 1].deferred)


cdef void on_item(Source* source, uint32_t events) noexcept nogil:
    cdef item_t* item = <item_t*>source
    cdef table_t* table = item.table
    cdef int i
    note(table, <int>(item - table.items))
    loop_defer(table.loop, &item.deferred)
    loop_defer(table.loop, &item.deferred)
    for i in range(N):
        if &table.items[i] != item:
            if table.act == 1:
                loop_close(table.loop, &table.items[i].source)
            elif table.act == 2:
                loop_remove(table.loop, &table.items[i].source)
            elif table.act == 3:
                loop_close(table.loop, &table.items[i].source)
                memset(&table.items[i].source, 0xff, sizeof(Source))    # freed and used for something else
    if table.act != 3:
        loop_close(table.loop, source)
    else:
        loop_remove(table.loop, source)


cdef class Table:
    """Eight readable descriptors of all three ranks. The first whose event is handled does `act` to all others:
    0 nothing, 1 closes them, 2 removes them, 3 closes them and overwrites their memory."""

    cdef table_t c
    cdef Loop loop

    def __init__(self, Loop loop, list fds, int act):
        cdef int i
        self.loop = loop
        self.c.loop = &loop.c
        self.c.act = act
        for i in range(N):
            self.c.items[i].table = &self.c
            self.c.items[i].deferred.run = on_deferred
            self.c.items[i].source.on_events = on_item
            self.c.items[i].source.fd = fds[i]
            self.c.items[i].source.rank = (RANK_ACCEPT, RANK_CLIENT, RANK_UPSTREAM)[i % 3]
            assert loop_add(&loop.c, &self.c.items[i].source, EPOLLIN) == 0

    def ran(self):
        return [self.c.order[i] for i in range(self.c.n_ran)]


def errors(Loop loop, int fd):
    """What loop_modify and loop_remove say of an fd that was never added."""
    cdef Source source
    memset(&source, 0, sizeof(source))
    source.fd = fd
    return loop_modify(&loop.c, &source, EPOLLIN), loop_remove(&loop.c, &source)
