"""Epochs: when may memory that readers without a lock could still see be freed?

A thread announces the global epoch when it enters, and the epoch moves on once everybody inside has announced it. So
a block unlinked in epoch e is out of everybody's reach in epoch e + 2. Fraser, "Practical lock-freedom", 2004, section
5.2.3. Nothing here blocks, raises or needs the GIL.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

cdef extern from "atomics.h" nogil:
    uint64_t load_word(const uint64_t* word)
    uint64_t acquire_word(const uint64_t* word)
    void release_word(uint64_t* word, uint64_t value)
    bint swap_word(uint64_t* word, uint64_t* seen, uint64_t value)
    uint64_t add_fetched(uint64_t* word, uint64_t n)
    void announce_word(uint64_t* word, uint64_t value)
    void settle()

cdef extern from *:
    """
    #include <malloc.h>
    #include <pthread.h>
    #include <time.h>

    /* The seat of this thread; its key's destructor gives it back when the thread ends. */
    static __thread __attribute__((tls_model("initial-exec"))) void *own_seat;
    static pthread_key_t seat_key;

    /* A sanitizer sees who looks at a freed block only if it is freed. */
    #if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    enum { SPARE_BYTES = 0 };
    #else
    enum { SPARE_BYTES = 1 << 20 };
    #endif
    """
    enum:
        SPARE_BYTES             # that a thread keeps for its next writes: malloc would sort and merge them, and cut them again
    size_t malloc_usable_size(void* block) nogil
    void* own_seat
    ctypedef unsigned int pthread_key_t
    pthread_key_t seat_key
    int pthread_key_create(pthread_key_t* key, void (*ended)(void*) noexcept nogil) nogil
    int pthread_setspecific(pthread_key_t key, const void* value) nogil
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil) nogil
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int nanosleep(const timespec* wanted, timespec* left) nogil

cdef enum:
    FULL = 64                   # blocks that wait before a thread looks whether some can go: a look costs a walk of all seats
    FULL_BYTES = 1 << 20        # or as many bytes, for 64 large values are too much to keep for every thread

cdef uint64_t now_epoch = 3     # 0 to 2 are what empty bags say
cdef uint64_t newest_seat = 0   # seat_t*
cdef uint64_t n_seats = 0


cdef void drop_spare(seat_t* seat) noexcept nogil:
    cdef void* block
    for k in range(N_SIZES):
        while seat.spare[k] != NULL:
            block = seat.spare[k]
            seat.spare[k] = (<void**>block)[0]
            free(block)
    seat.spare_bytes = 0

cdef void keep_or_free(seat_t* seat, void* block) noexcept nogil:
    cdef size_t size = malloc_usable_size(block), k = (size - 24) // 16
    if seat.spare_bytes + size > SPARE_BYTES or k >= N_SIZES:
        free(block)
    else:
        (<void**>block)[0] = seat.spare[k]
        seat.spare[k] = block
        seat.spare_bytes += size

cdef void give_back(void* seat) noexcept nogil:
    """A thread ends."""
    global own_seat
    own_seat = NULL
    drop_spare(<seat_t*>seat)
    release_word(&(<seat_t*>seat).state, 0)
    release_word(&(<seat_t*>seat).taken, 0)

cdef void only_we_are_left() noexcept nogil:
    """In the child of a fork: the other threads are not there, so they hold nothing back."""
    cdef seat_t* seat = <seat_t*>newest_seat
    while seat != NULL:
        if seat != <seat_t*>own_seat and seat.taken:
            # The fork may have come between two stores of its owner: what it kept is lost, sooner than freed twice.
            memset(seat.bags, 0, sizeof(seat.bags))
            memset(seat.spare, 0, sizeof(seat.spare))
            seat.state = seat.depth = seat.taken = seat.waiting = seat.waiting_bytes = seat.spare_bytes = 0
        seat = seat.next

cdef seat_t* take_seat() noexcept nogil:
    """A free one, or a new one. NULL: no memory."""
    cdef seat_t* seat = <seat_t*>acquire_word(&newest_seat)
    cdef uint64_t seen
    while seat != NULL:
        seen = 0
        if load_word(&seat.taken) == 0 and swap_word(&seat.taken, &seen, 1):
            break
        seat = seat.next
    if seat == NULL:
        seat = <seat_t*>calloc(1, sizeof(seat_t))
        if seat == NULL:
            return NULL
        seat.taken = 1
        seat.index = add_fetched(&n_seats, 1)
        seen = acquire_word(&newest_seat)
        seat.next = <seat_t*>seen
        while not swap_word(&newest_seat, &seen, <uint64_t>seat):
            seat.next = <seat_t*>seen
    seat.depth = 0
    global own_seat
    own_seat = seat
    pthread_setspecific(seat_key, seat)
    return seat

cdef bint advance() noexcept nogil:
    """Move the epoch on, if everybody inside has seen this one. False: somebody has not."""
    cdef uint64_t epoch, state
    cdef seat_t* seat
    epoch = acquire_word(&now_epoch)
    settle()        # who announced an epoch and found it to be this one, or one before, is seen from here on
    seat = <seat_t*>acquire_word(&newest_seat)
    while seat != NULL:
        state = acquire_word(&seat.state)
        if state & 1 and state >> 1 != epoch:
            return False
        seat = seat.next
    swap_word(&now_epoch, &epoch, epoch + 1)        # lost: another moved it on
    return True

cdef void empty_bags(seat_t* seat) noexcept nogil:
    """Free what nobody can see."""
    cdef uint64_t epoch = acquire_word(&now_epoch)
    cdef bag_t* bag
    cdef size_t i
    for k in range(3):
        bag = &seat.bags[k]
        if bag.n and bag.epoch + 2 <= epoch:
            for i in range(bag.n):
                seat.waiting_bytes -= malloc_usable_size(bag.blocks[i])
                keep_or_free(seat, bag.blocks[i])
            seat.waiting -= bag.n
            bag.n = 0
            if bag.room > 16 * FULL:        # after a large merge
                free(<void*>bag.blocks)
                bag.blocks = NULL
                bag.room = 0


cdef seat_t* enter() noexcept nogil:
    cdef seat_t* seat = <seat_t*>own_seat
    cdef uint64_t epoch
    if seat == NULL:
        seat = take_seat()
        if seat == NULL:
            return NULL
    seat.depth += 1
    if seat.depth == 1:
        epoch = acquire_word(&now_epoch)
        while True:
            announce_word(&seat.state, epoch << 1 | 1)
            if acquire_word(&now_epoch) == epoch:
                break
            epoch = acquire_word(&now_epoch)
    return seat

cdef void leave(seat_t* seat) noexcept nogil:
    seat.depth -= 1
    if seat.depth == 0:
        release_word(&seat.state, 0)
        if seat.waiting >= FULL or seat.waiting_bytes >= FULL_BYTES:
            advance()
            empty_bags(seat)

cdef void renew(seat_t* seat) noexcept nogil:
    if seat.depth == 1:
        leave(seat)
        enter()

cdef void retire(seat_t* seat, void* block) noexcept nogil:
    # While we are inside, the epoch is ours or the next: counted as unlinked in the next, no fence is needed to be sure.
    cdef uint64_t epoch = (seat.state >> 1) + 1
    cdef bag_t* bag = &seat.bags[epoch % 3]
    cdef void** more
    if bag.epoch != epoch:
        if bag.n:
            empty_bags(seat)        # of epoch - 3 or before: all of it goes
        bag.epoch = epoch
    if bag.n == bag.room:
        more = <void**>realloc(<void*>bag.blocks, (2 * bag.room + FULL) * sizeof(void*))
        if more == NULL:
            return                  # without memory to remember it, it is lost: better than freed too early
        bag.blocks = more
        bag.room = 2 * bag.room + FULL
    bag.blocks[bag.n] = block
    bag.n += 1
    seat.waiting += 1
    seat.waiting_bytes += malloc_usable_size(block)

cdef void* allocate(seat_t* seat, size_t size) noexcept nogil:
    cdef size_t k = (size - 24 + 15) // 16 if size > 24 else 0
    cdef void* block
    if k >= N_SIZES or seat.spare[k] == NULL:
        return malloc(size)
    block = seat.spare[k]
    seat.spare[k] = (<void**>block)[0]
    seat.spare_bytes -= malloc_usable_size(block)
    return block

cdef void synchronize() noexcept nogil:
    cdef uint64_t until = acquire_word(&now_epoch) + 2
    cdef timespec nap
    nap.tv_sec, nap.tv_nsec = 0, 50_000
    while <int64_t>(acquire_word(&now_epoch) - until) < 0:
        if not advance():
            nanosleep(&nap, NULL)


if pthread_key_create(&seat_key, give_back) != 0 or pthread_atfork(NULL, NULL, only_we_are_left) != 0:
    raise MemoryError("no room for one thread-local key")
