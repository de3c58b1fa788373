"""Records of servers in shared memory: one writer, many readers, and no death of either that could leave half a record.

Every record has two sets of facts, one in use and one to be written next. Health lies beside them and belongs to all.
"""
import ipaddress
import os
import time
from socket import AF_INET, AF_INET6, AF_UNIX, AddressFamily, inet_ntop

from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy, memset

from hotpath.core.data.shared cimport Block
from hotpath.core.net.linux cimport htons, sockaddr_in, sockaddr_in6, sockaddr_un

cdef extern from *:
    """
    #define WORD_LOAD(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
    #define WORD_STORE(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
    """
    int64_t WORD_LOAD(int64_t* word) noexcept nogil
    void WORD_STORE(int64_t* word, int64_t value) noexcept nogil


cdef bint record_read(record_t* record, facts_t* facts) noexcept nogil:
    cdef int64_t writes = -1
    while writes != WORD_LOAD(&record.writes):      # again if another write has begun: it may be into what was copied
        writes = WORD_LOAD(&record.writes)
        memcpy(facts, &record.facts[WORD_LOAD(&record.current) & 1], sizeof(facts_t))
    return facts.used


cdef set_address(facts_t* facts, resolved):
    """`resolved` is (family, sockaddr) as socket.getaddrinfo gives it, or (AF_UNIX, path)."""
    family, sockaddr = resolved
    cdef sockaddr_in* v4 = <sockaddr_in*>&facts.address
    cdef sockaddr_in6* v6 = <sockaddr_in6*>&facts.address
    cdef sockaddr_un* un = <sockaddr_un*>&facts.address
    memset(&facts.address, 0, sizeof(facts.address))
    if family == AF_UNIX:
        path = os.fsencode(sockaddr)        # config.Address keeps it within sun_path
        un.sun_family = AF_UNIX
        memcpy(un.sun_path, <const char*>path, <size_t>len(path))
        facts.address_size = sizeof(un.sun_family) + len(path) + 1
        return
    packed = ipaddress.ip_address(sockaddr[0].partition("%")[0]).packed
    if family == AF_INET:
        v4.sin_family = AF_INET
        v4.sin_port = htons(<uint16_t>sockaddr[1])
        memcpy(&v4.sin_addr, <const char*>packed, 4)
        facts.address_size = sizeof(sockaddr_in)
    else:
        v6.sin6_family = family
        v6.sin6_port = htons(<uint16_t>sockaddr[1])
        memcpy(&v6.sin6_addr, <const char*>packed, 16)
        v6.sin6_scope_id = sockaddr[3]
        facts.address_size = sizeof(sockaddr_in6)


cdef class Records:
    """`n_slots` free records for `workers` readers. Only one process may write at a time: the master, then the warden."""

    def __cinit__(self, int n_slots, int workers):
        self.n_slots = n_slots
        self.workers = workers
        cdef size_t head = 64 * ((1 + workers) * sizeof(int64_t) // 64 + 1)
        self.block = Block(head + n_slots * sizeof(record_t))
        self.generation = <int64_t*>self.block.data
        self.seen = self.generation + 1
        self.records = <record_t*>(self.block.data + head)

    cdef record_t* at(self, int slot) except NULL:
        if not 0 <= slot < self.n_slots:
            raise IndexError(f"slot {slot} of {self.n_slots}")
        return &self.records[slot]

    def write(self, int slot, **changes) -> None:
        """Change what is named, of: used, draining, leaving, backup, from_admin, weight, max_connections, name, resolved."""
        cdef record_t* record = self.at(slot)
        cdef facts_t* old = &record.facts[record.current & 1]
        cdef facts_t* new = &record.facts[(record.current + 1) & 1]
        WORD_STORE(&record.writes, record.writes + 1)
        memcpy(new, old, sizeof(facts_t))
        for key, value in changes.items():
            if key == "used":
                new.used = value
            elif key == "draining":
                new.draining = value
            elif key == "leaving":
                new.leaving = value
            elif key == "backup":
                new.backup = value
            elif key == "from_admin":
                new.from_admin = value
            elif key == "weight":
                new.weight = value
            elif key == "max_connections":
                new.max_connections = value
            elif key == "name":
                name = value.encode()
                if len(name) > MAX_NAME_BYTES:
                    raise ValueError(f"an address of {len(name)} bytes")
                new.name_size = len(name)
                memcpy(new.name, <const char*>name, <size_t>len(name))
            elif key == "resolved":
                set_address(new, value)
                new.moves += 1
            else:
                raise TypeError(key)
        WORD_STORE(&record.current, record.current + 1)
        WORD_STORE(self.generation, self.generation[0] + 1)

    def read(self, int slot) -> dict:
        """The facts of a slot, by the names that `write` knows; `resolved` is left out. Empty: a free slot."""
        cdef facts_t facts
        if not record_read(self.at(slot), &facts):
            return {}
        return {
            "draining": bool(facts.draining), "leaving": bool(facts.leaving), "backup": bool(facts.backup),
            "from_admin": bool(facts.from_admin), "weight": facts.weight, "max_connections": facts.max_connections,
            "name": facts.name[:facts.name_size].decode(),
        }

    def is_fresh(self, int slot) -> bool:
        """Whether no server ever stood there."""
        cdef facts_t facts
        record_read(self.at(slot), &facts)
        return facts.name_size == 0

    def resolved(self, int slot) -> tuple:
        """(family, sockaddr) of a slot in use, as `write` took it."""
        cdef facts_t facts
        record_read(self.at(slot), &facts)
        cdef sockaddr_in* v4 = <sockaddr_in*>&facts.address
        cdef sockaddr_in6* v6 = <sockaddr_in6*>&facts.address
        cdef sockaddr_un* un = <sockaddr_un*>&facts.address
        family = AddressFamily(facts.address.ss_family)
        if family == AF_UNIX:
            return family, os.fsdecode(un.sun_path[:facts.address_size - sizeof(un.sun_family) - 1])
        if family == AF_INET:
            return family, (inet_ntop(AF_INET, (<const char*>&v4.sin_addr)[:4]), htons(v4.sin_port))
        # The flow label was of no account for connecting.
        return family, (inet_ntop(AF_INET6, (<const char*>&v6.sin6_addr)[:16]), htons(v6.sin6_port), 0, v6.sin6_scope_id)

    def forget(self, int slot) -> None:
        """A slot is another server's from now on: health and speed begin anew."""
        memset(&self.at(slot).health, 0, sizeof(health_t))

    def take_health(self, int slot, Records other, int other_slot) -> None:
        """Go on with the health of the same server before a reload."""
        self.at(slot).health = other.at(other_slot).health

    def health(self, int slot) -> tuple:
        """(ejected, down, failures ever, EWMA in microseconds or 0)."""
        cdef health_t* health = &self.at(slot).health
        cdef int64_t raw = WORD_LOAD(&health.ewma_us)
        cdef double ewma_us
        memcpy(&ewma_us, &raw, sizeof(ewma_us))
        now_us = time.monotonic_ns() // 1000
        return (WORD_LOAD(&health.ejected_until_us) > now_us, WORD_LOAD(&health.down) != 0, WORD_LOAD(&health.all_failures),
                ewma_us)

    def set_down(self, int slot, bint down) -> None:
        """What active checks found."""
        cdef health_t* health = &self.at(slot).health
        if not down and WORD_LOAD(&health.down):
            self.absolve(slot)
        WORD_STORE(&health.down, down)

    def absolve(self, int slot) -> None:
        """It is well now, whatever requests found out before."""
        cdef health_t* health = &self.at(slot).health
        WORD_STORE(&health.ejected_until_us, 0)
        WORD_STORE(&health.failures, 0)
        self.warm(slot)

    def warm(self, int slot) -> None:
        """It comes into service now: slow start begins."""
        WORD_STORE(&self.at(slot).health.since_us, time.monotonic_ns() // 1000)

    @property
    def now(self) -> int:
        """The generation of all records: rises with each write."""
        return WORD_LOAD(self.generation)

    def saw(self, int worker, int64_t generation) -> None:
        """A worker has copied everything up to `generation`."""
        WORD_STORE(&self.seen[worker], generation)

    def all_saw(self, int64_t generation) -> bool:
        """Whether every worker has."""
        cdef int worker
        for worker in range(self.workers):
            if WORD_LOAD(&self.seen[worker]) < generation:
                return False
        return True
