"""The lock-free table: one cell per key, and a write is a compare-exchange of the greater.

Open addressing with linear probing in 64 shards. A slot is one word that points to an immutable cell, and its key never
changes within one version of the slots. Readers are wait-free. Writers are lock-free, except while their own shard is
rebuilt: every slot is frozen by setting a bit, so no write is lost between copying and publishing, and a writer that
meets the bit waits for the new version. What is replaced is retired to `epochs`, never freed at once.
"""
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from hotpath.core.data.epochs cimport allocate, retire, seat_t

cdef extern from "../atomics.h" nogil:
    uint64_t load_word(const uint64_t* word)
    void add_own(uint64_t* word, uint64_t n)
    void add_shared(uint64_t* word, uint64_t n)
    uint64_t acquire_word(const uint64_t* word)
    void release_word(uint64_t* word, uint64_t value)
    bint swap_word(uint64_t* word, uint64_t* seen, uint64_t value)
    uint64_t add_fetched(uint64_t* word, uint64_t n)

cdef extern from "../siphash.h" nogil:
    uint64_t siphash13(const uint8_t* data, size_t size, const uint64_t* secret)

cdef extern from "cell.h" nogil:
    size_t entry_cell_size(const entry_t* entry)
    void cell_fill(cell_t* cell, const entry_t* entry, uint16_t bucket)
    const uint8_t* cell_key(const cell_t* cell)
    const uint8_t* cell_payload(const cell_t* cell)
    bint is_of_key(const cell_t* cell, const entry_t* entry)
    int entry_order(const entry_t* entry, const cell_t* cell, uint8_t preferred_live)
    uint16_t bucket_of(const uint8_t* key, size_t size)
    uint64_t cell_print(const cell_t* cell)

cdef extern from "<pthread.h>" nogil:
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)

cdef extern from *:
    """
    static inline void prefetch(const void *at) { __builtin_prefetch(at); }
    static uint64_t no_slots[4];        /* a slots_t of one empty slot, of which none may be used: what a shard begins with */
    """
    void prefetch(const void* at) nogil
    uint64_t no_slots[4]

cdef enum:
    FROZEN = 1                  # in a slot's word: it changes no more, the shard is being rebuilt
    SHARD_SHIFT = 26            # the top six bits of a place say the shard, the others the slot
    FIRST_SLOTS = 8
    AHEAD = 16                  # cells that a rebuild asks the processor for before it reads them


cdef slots_t* slots_make(uint64_t n) noexcept nogil:
    """Empty; `n` is a power of two. NULL: no memory."""
    cdef slots_t* slots = <slots_t*>calloc(1, sizeof(slots_t) + (n - 1) * sizeof(uint64_t))
    if slots != NULL:
        slots.mask = n - 1
        slots.limit = n // 4 * 3        # linear probing is short up to here: 2.5 steps to a key, 8.5 to none
    return slots

cdef shard_t* shard_of(table_t* table, uint32_t place) noexcept nogil:
    return &table.shards[place >> SHARD_SHIFT]

cdef slots_t* slots_of(shard_t* shard) noexcept nogil:
    return <slots_t*>acquire_word(&shard.slots)

cdef cell_t* cell_in(uint64_t word) noexcept nogil:
    return <cell_t*>(word & ~<uint64_t>FROZEN)

cdef stripe_t* stripe_of(table_t* table, seat_t* seat) noexcept nogil:
    """Of this thread. NULL: no memory."""
    cdef uint64_t i = seat.index if seat.index < N_STRIPES - 1 else N_STRIPES - 1
    cdef uint64_t seen = acquire_word(&table.stripes[i])
    cdef stripe_t* fresh
    if seen:
        return <stripe_t*>seen
    fresh = <stripe_t*>calloc(1, sizeof(stripe_t))
    if fresh == NULL:
        return NULL
    fresh.shared = i == N_STRIPES - 1
    if swap_word(&table.stripes[i], &seen, <uint64_t>fresh):
        return fresh
    free(fresh)             # only the shared one can come twice
    return <stripe_t*>seen

cdef void add(stripe_t* stripe, uint64_t* word, uint64_t n) noexcept nogil:
    if stripe.shared:
        add_shared(word, n)
    else:
        add_own(word, n)

cdef void count_cell(stripe_t* stripe, const cell_t* cell, bint comes) noexcept nogil:
    """Into or out of the sums."""
    cdef uint64_t sign = 1 if comes else UINT64_MAX
    add(stripe, &stripe.counts[N_LIVE if cell.live else N_TOMBSTONES], sign)
    add(stripe, &stripe.counts[N_BYTES], sign * (<uint64_t>cell.key_size + cell.payload_size))
    add(stripe, &stripe.buckets[cell.bucket], sign * cell_print(cell))

cdef bint claim(slots_t* slots) noexcept nogil:
    """Count one slot as used, before it is. False: too many are, the shard must be rebuilt."""
    if add_fetched(&slots.used, 1) < slots.limit:
        return True
    add_fetched(&slots.used, UINT64_MAX)
    return False

cdef void await_rebuilt(shard_t* shard) noexcept nogil:
    """Whoever rebuilds needs no GIL to end, so this may be called with it."""
    pthread_mutex_lock(&shard.rebuilding)
    pthread_mutex_unlock(&shard.rebuilding)

cdef void put_copy(slots_t* slots, cell_t* cell) noexcept nogil:
    """Into slots that nobody else sees yet, and that have room."""
    cdef uint64_t i = cell.place & slots.mask
    while slots.words[i]:
        i = (i + 1) & slots.mask
    slots.words[i] = <uint64_t>cell
    slots.used += 1

cdef bint goes(uint64_t word, const uint64_t* upto) noexcept nogil:
    return upto != NULL and word != 0 and not cell_in(word).live and cell_in(word).hlc <= upto[0]

cdef bint any_goes(slots_t* slots, uint64_t upto) noexcept nogil:
    cdef uint64_t i
    for i in range(slots.mask + 1):
        if goes(<uint64_t>cell_in(acquire_word(&slots.words[i])), &upto):
            return True
    return False

cdef uint64_t freeze(slots_t* slots, const uint64_t* upto) noexcept nogil:
    """From here on no write succeeds in these slots. How many keys stay."""
    cdef uint64_t word, i, n = 0
    for i in range(slots.mask + 1):
        if i + AHEAD <= slots.mask:
            prefetch(cell_in(load_word(&slots.words[i + AHEAD])))
        word = acquire_word(&slots.words[i])
        while not swap_word(&slots.words[i], &word, word | FROZEN):
            pass
        n += word != 0 and not goes(word, upto)
    return n

cdef void thaw(slots_t* slots) noexcept nogil:
    for i in range(slots.mask + 1):
        release_word(&slots.words[i], <uint64_t>cell_in(load_word(&slots.words[i])))

cdef Py_ssize_t rebuild(
    table_t* table, seat_t* seat, shard_t* shard, slots_t* slots, const uint64_t* upto
) noexcept nogil:
    """A new version of the shard, unless `slots` is its version no more: with room for what comes, without the
    tombstones up to `upto` (NULL: with them). How many tombstones went; -1: no memory, nothing changed."""
    cdef stripe_t* stripe = stripe_of(table, seat)
    cdef slots_t* fresh
    cdef cell_t* cell
    cdef uint64_t i, n = 0, room = FIRST_SLOTS
    cdef Py_ssize_t gone = 0
    if stripe == NULL:
        return -1
    pthread_mutex_lock(&shard.rebuilding)
    if slots_of(shard) == slots:
        if slots != <slots_t*>no_slots:         # the one that all empty shards share stays as it is: nothing enters it
            n = freeze(slots, upto)
        # Who asks for room gets some, also if those who took the last of it have not come to write yet: or two new keys
        # could freeze each other out in turns, for ever.
        if upto == NULL and n < slots.limit:
            n = slots.limit
        while room // 4 * 3 <= n:
            room *= 2
        fresh = slots_make(room)
        if fresh == NULL:
            if slots != <slots_t*>no_slots:
                thaw(slots)
            gone = -1
        else:
            for i in range(slots.mask + 1):
                cell = cell_in(load_word(&slots.words[i]))
                if goes(<uint64_t>cell, upto):
                    count_cell(stripe, cell, False)
                    retire(seat, cell)
                    gone += 1
                elif cell != NULL:
                    put_copy(fresh, cell)
            release_word(&shard.slots, <uint64_t>fresh)
            if slots != <slots_t*>no_slots:
                retire(seat, slots)
    pthread_mutex_unlock(&shard.rebuilding)
    return gone

cdef uint64_t refusal(const cell_t* there, const wish_t* wish) noexcept nogil:
    """Why a local write may not be; APPLIED: it may."""
    cdef bint live = there != NULL and there.live
    if wish.expecting and not (live and there.hlc == wish.expected_hlc and there.replica == wish.expected_replica):
        return MISMATCH
    if wish.kind == ADD and live:
        return LIVE
    if wish.kind == REPLACE and not live:
        return ABSENT
    return APPLIED

cdef int settle_write(
    table_t* table, seat_t* seat, entry_t* entry, const wish_t* wish, const cell_t** found
) noexcept nogil:
    """One write, to its end. `wish` is NULL for a cell that comes with its stamp."""
    cdef shard_t* shard = shard_of(table, entry.place)
    cdef stripe_t* stripe = stripe_of(table, seat)
    cdef slots_t* slots = slots_of(shard)
    cdef uint64_t word, i = entry.place & slots.mask
    cdef cell_t* there
    cdef cell_t* fresh = NULL
    cdef int outcome = NO_MEMORY
    if stripe == NULL:
        return NO_MEMORY
    word = acquire_word(&slots.words[i])
    while True:
        if word & FROZEN:
            await_rebuilt(shard)
            slots = slots_of(shard)
            i = entry.place & slots.mask
            word = acquire_word(&slots.words[i])
            continue
        there = cell_in(word)
        if there != NULL and not is_of_key(there, entry):
            i = (i + 1) & slots.mask
            word = acquire_word(&slots.words[i])
            continue
        # The one place of this key in this version: is it to be ours?
        if wish != NULL:
            outcome = refusal(there, wish)
            found[0] = there
            if outcome == APPLIED:
                entry.hlc = table_tick(table, wish.wall_ms)
                if entry.hlc == 0:
                    outcome = CLOCK_ENDS
        elif there == NULL:
            outcome = STALE if entry.hlc <= acquire_word(&table.floor) else APPLIED
        else:
            outcome = APPLIED if entry_order(entry, there, table.preferred_live) > 0 else IGNORED
        if outcome != APPLIED:
            break
        if fresh == NULL:
            fresh = <cell_t*>allocate(seat, entry_cell_size(entry))
            if fresh == NULL:
                outcome = NO_MEMORY
                break
            cell_fill(fresh, entry, there.bucket if there != NULL else bucket_of(entry.key, entry.key_size))
        fresh.hlc = entry.hlc
        if there == NULL and not claim(slots):
            if rebuild(table, seat, shard, slots, NULL) < 0:
                outcome = NO_MEMORY
                break
            slots = slots_of(shard)
            i = entry.place & slots.mask
            word = acquire_word(&slots.words[i])
            continue
        if swap_word(&slots.words[i], &word, <uint64_t>fresh):
            if there != NULL:
                count_cell(stripe, there, False)
                add(stripe, &stripe.counts[N_OVERWRITTEN], there.live)
            count_cell(stripe, fresh, True)
            add(stripe, &stripe.counts[N_APPLIED], 1)
            if found != NULL:
                found[0] = fresh
            if there != NULL:
                retire(seat, there)
            return APPLIED
        # Another was there first, and `word` says who: a greater one, so that it goes on from there, not round and round.
        if there == NULL:
            add_fetched(&slots.used, UINT64_MAX)
    free(fresh)
    return outcome


cdef table_t* table_make(uint8_t preferred_live, uint64_t* secret) noexcept nogil:
    cdef table_t* table = <table_t*>calloc(1, sizeof(table_t))
    if table == NULL:
        return NULL
    table.preferred_live = preferred_live
    table.secret[0], table.secret[1] = secret[0], secret[1]
    for k in range(N_SHARDS):
        table.shards[k].slots = <uint64_t>no_slots
        pthread_mutex_init(&table.shards[k].rebuilding, NULL)
    return table

cdef void table_free(table_t* table) noexcept nogil:
    cdef slots_t* slots
    cdef uint64_t i
    for k in range(N_SHARDS):
        slots = slots_of(&table.shards[k])
        if slots != <slots_t*>no_slots:
            for i in range(slots.mask + 1):
                free(cell_in(slots.words[i]))
            free(slots)
        pthread_mutex_destroy(&table.shards[k].rebuilding)
    for k in range(N_STRIPES):
        free(<void*>table.stripes[k])
    free(table)

cdef uint32_t table_place(const table_t* table, const uint8_t* key, size_t size) noexcept nogil:
    return <uint32_t>siphash13(key, size, table.secret)

cdef const cell_t* table_find(table_t* table, const uint8_t* key, uint16_t size, uint32_t place) noexcept nogil:
    cdef slots_t* slots = slots_of(shard_of(table, place))
    cdef uint64_t i = place & slots.mask
    cdef const cell_t* cell = cell_in(acquire_word(&slots.words[i]))
    while cell != NULL:
        if cell.place == place and cell.key_size == size and memcmp(cell_key(cell), key, size) == 0:
            return cell
        i = (i + 1) & slots.mask
        cell = cell_in(acquire_word(&slots.words[i]))
    return NULL

cdef int table_merge(table_t* table, seat_t* seat, entry_t* entry) noexcept nogil:
    return settle_write(table, seat, entry, NULL, NULL)

cdef int table_write(table_t* table, seat_t* seat, entry_t* entry, const wish_t* wish, const cell_t** found) noexcept nogil:
    return settle_write(table, seat, entry, wish, found)

cdef void table_prefetch_slot(table_t* table, uint32_t place) noexcept nogil:
    cdef slots_t* slots = slots_of(shard_of(table, place))
    prefetch(&slots.words[place & slots.mask])

cdef void table_prefetch_cell(table_t* table, uint32_t place) noexcept nogil:
    cdef slots_t* slots = slots_of(shard_of(table, place))
    cdef uint64_t cell = load_word(&slots.words[place & slots.mask])    # a number: of none, nothing is fetched
    prefetch(<const void*>cell)
    prefetch(<const void*>(cell + 48))      # most are 50 to 80 bytes and begin within a line: the next one too

cdef Py_ssize_t table_collect(table_t* table, seat_t* seat, uint64_t upto) noexcept nogil:
    cdef uint64_t seen = acquire_word(&table.floor)
    cdef slots_t* slots
    cdef Py_ssize_t gone, all_gone = 0
    table_observe(table, upto)
    # First the floor: who then finds a key absent, because its tombstone went, finds the floor above what killed it too.
    while seen < upto and not swap_word(&table.floor, &seen, upto):
        pass
    for k in range(N_SHARDS):
        slots = slots_of(&table.shards[k])
        while any_goes(slots, upto):
            # If another has rebuilt the shard meanwhile, none went: look at its version too.
            gone = rebuild(table, seat, &table.shards[k], slots, &upto)
            if gone < 0:
                return -1
            all_gone += gone
            slots = slots_of(&table.shards[k])
    return all_gone

cdef int table_visit(table_t* table, int shard, visit_t visit, void* context) noexcept nogil:
    cdef slots_t* slots = slots_of(&table.shards[shard])
    cdef const cell_t* cell
    cdef uint64_t i
    cdef int answer
    for i in range(slots.mask + 1):
        if i + AHEAD <= slots.mask:
            prefetch(cell_in(load_word(&slots.words[i + AHEAD])))
        cell = cell_in(acquire_word(&slots.words[i]))
        if cell != NULL:
            answer = visit(context, cell)
            if answer != 0:
                return answer
    return 0

cdef uint64_t table_tick(table_t* table, uint64_t wall_ms) noexcept nogil:
    cdef uint64_t now = wall_ms << 16, seen = acquire_word(&table.clock), next
    if wall_ms > LAST_HLC >> 16:
        return 0
    while True:
        next = seen + 1 if seen >= now else now
        if next > LAST_HLC:         # no replica would take it
            return 0
        if swap_word(&table.clock, &seen, next):
            return next

cdef void table_observe(table_t* table, uint64_t hlc) noexcept nogil:
    cdef uint64_t seen = acquire_word(&table.clock)
    while seen < hlc and not swap_word(&table.clock, &seen, hlc):
        pass

cdef uint64_t table_count(const table_t* table, int count) noexcept nogil:
    cdef uint64_t n = 0
    cdef const stripe_t* stripe
    for k in range(N_STRIPES):
        stripe = <const stripe_t*>acquire_word(&table.stripes[k])
        if stripe != NULL:
            n += load_word(&stripe.counts[count])
    # What one thread added after we looked at its stripe, another may take away before we look at its own.
    return n if <int64_t>n > 0 else 0

cdef void table_sums(const table_t* table, uint64_t* sums) noexcept nogil:
    cdef const stripe_t* stripe
    for i in range(N_BUCKETS):
        sums[i] = 0
    for k in range(N_STRIPES):
        stripe = <const stripe_t*>acquire_word(&table.stripes[k])
        if stripe != NULL:
            for i in range(N_BUCKETS):
                sums[i] += load_word(&stripe.buckets[i])

cdef void table_count_ignored(table_t* table, seat_t* seat, uint64_t ignored, uint64_t stale) noexcept nogil:
    cdef stripe_t* stripe = stripe_of(table, seat)
    if stripe != NULL:
        add(stripe, &stripe.counts[N_IGNORED], ignored)
        add(stripe, &stripe.counts[N_STALE], stale)
