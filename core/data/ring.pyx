"""Consistent hashing: which node owns this key?

Placement is the same in every process, run and language. h(bytes) is the first 64 bits of MurmurHash3 x64_128 with seed
0, over the UTF-8 of a str, the bytes, or the 8 little-endian bytes of an int. A node has max(1, round(vnodes * weight))
points h("NAME-i"), i from 0. A key belongs to the node of the first point at or after its hash, wrapping; on equal
points the smaller name wins. Karger et al., "Consistent Hashing and Random Trees", STOC 1997.
"""
from cpython cimport array
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBuffer_Release,
    PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.long cimport PyLong_AsUnsignedLongLong, PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf

from hotpath.core.data.murmur cimport text_or_bytes

import sys
from array import array as new_array
from collections import Counter
from collections.abc import Mapping
from threading import RLock

cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object number, int* overflow)

cdef extern from "murmur3.h":
    uint64_t hash_bytes "murmur3_x64_64"(const uint8_t* data, size_t size, uint32_t seed) nogil
    uint64_t hash_word "murmur3_x64_64_of_word"(uint64_t word) nogil

cdef enum:
    MAX_NODES = 65536           # owners are uint16
    MAX_POINTS = 1 << 24        # 400 MB of tables; beyond it a weight is a mistake
    MAX_TABLE_BITS = 24         # 32 MB
    BUCKETS_PER_POINT = 4       # three of four buckets are then empty, and a search seldom takes a second step

cdef tuple SETTINGS = ("hostname", "instance", "nodename", "port", "vnodes", "weight")
cdef array.array NO_OWNERS = new_array("H")
cdef str NATIVE = "<" if sys.byteorder == "little" else ">"
cdef frozenset INTEGERS = frozenset((order + code).encode() for order in ("", "@", "=", NATIVE) for code in "qQlLnN")


# Index of the first point at or after `place`; n_points: past the last, where the first owner stands again.
cdef uint32_t first_at_or_after(const Snapshot* ring, uint64_t place) noexcept nogil:
    cdef uint32_t i = ring.buckets[place >> ring.shift]
    # A step that needs no branch: whether the bucket's one point lies before the key is a coin toss, and a wrong guess
    # costs more than the whole search.
    i += ring.points[i] < place
    while ring.points[i] < place:
        i += 1
    return i

cdef void owners_of_words(const Snapshot* ring, const uint64_t* words, Py_ssize_t n, uint16_t* out) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef uint64_t a, b, c, d
    while i + 4 <= n:           # four hashes at a time: each alone would wait for its own multiplications
        a = hash_word(words[i])
        b = hash_word(words[i + 1])
        c = hash_word(words[i + 2])
        d = hash_word(words[i + 3])
        out[i] = ring.owners[first_at_or_after(ring, a)]
        out[i + 1] = ring.owners[first_at_or_after(ring, b)]
        out[i + 2] = ring.owners[first_at_or_after(ring, c)]
        out[i + 3] = ring.owners[first_at_or_after(ring, d)]
        i += 4
    while i < n:
        out[i] = ring.owners[first_at_or_after(ring, hash_word(words[i]))]
        i += 1

cdef void owners_of_slots(const Snapshot* ring, int bits, uint16_t* out) noexcept nogil:
    cdef uint64_t slot, n = <uint64_t>1 << bits
    cdef uint32_t i = 0
    for slot in range(n):
        while ring.points[i] < slot << (64 - bits):
            i += 1
        out[slot] = ring.owners[i]

# Sorts `n` unsorted points into `ring`, whose shift is set. Hashes spread evenly, so counting them into buckets leaves
# about one to sort in each; the counts are the bucket table. Stable: on equal places the earlier point stays first.
cdef void arrange(Snapshot* ring, const uint64_t* places, const uint16_t* owners, uint32_t n) noexcept nogil:
    cdef uint32_t bucket, i, k, n_buckets = <uint32_t>(UINT64_MAX >> ring.shift) + 1
    cdef uint64_t place
    cdef uint16_t owner
    for bucket in range(n_buckets + 1):
        ring.buckets[bucket] = 0
    for i in range(n):
        ring.buckets[places[i] >> ring.shift] += 1
    for bucket in range(1, n_buckets + 1):      # now each entry is where its bucket ends
        ring.buckets[bucket] += ring.buckets[bucket - 1]
    for i in range(n, 0, -1):                   # and, filled from the back, where it starts
        bucket = <uint32_t>(places[i - 1] >> ring.shift)
        ring.buckets[bucket] -= 1
        k = ring.buckets[bucket]
        ring.points[k] = places[i - 1]
        ring.owners[k] = owners[i - 1]
    for i in range(1, n):
        place = ring.points[i]
        owner = ring.owners[i]
        k = i
        while k > 0 and ring.points[k - 1] > place:
            ring.points[k] = ring.points[k - 1]
            ring.owners[k] = ring.owners[k - 1]
            k -= 1
        ring.points[k] = place
        ring.owners[k] = owner
    ring.n_points = n
    ring.points[n] = UINT64_MAX
    ring.owners[n] = ring.owners[0] if n else 0

# The places of h("NAME-0") ... h("NAME-(n-1)"). `text` holds "NAME-" and room for ten digits and a NUL.
cdef void hash_points(char* text, size_t size, uint32_t n, uint64_t* places) noexcept nogil:
    cdef uint32_t i
    cdef int digits
    for i in range(n):
        digits = snprintf(text + size, 11, "%u", i)
        places[i] = hash_bytes(<const uint8_t*>text, size + <size_t>digits, 0)


cdef uint64_t place_of(object key) except? 0:
    cdef Py_ssize_t size
    cdef const uint8_t* data
    cdef int64_t number
    cdef int overflow
    if PyLong_Check(key):
        number = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow < 0:
            raise OverflowError(f"key {key}: an int key is -2**63 to 2**64-1")
        return hash_word(PyLong_AsUnsignedLongLong(key) if overflow else <uint64_t>number)
    data = text_or_bytes(key, &size)
    return hash_bytes(data, size, 0)

cdef uint32_t points_of(dict conf) except 0:
    cdef object n = conf["vnodes"] * conf["weight"]     # infinite, if the weight is absurd
    if n > MAX_POINTS:
        raise ValueError(f"node {conf['nodename']!r}: {n} points, at most {MAX_POINTS} are possible")
    return max(1, round(n))


cdef int checked_vnodes(object vnodes) except -1:
    if not isinstance(vnodes, int):
        raise TypeError(f"vnodes is an int, not {type(vnodes).__name__}")
    if not 1 <= vnodes <= MAX_POINTS:
        raise ValueError(f"vnodes {vnodes}: allowed are 1 to {MAX_POINTS}")
    return vnodes


cdef class State:
    def __cinit__(self, dict confs):
        cdef list counts
        cdef object name, total
        cdef uint32_t n, bits = 1
        self.confs = confs
        self.names = tuple(sorted(confs))       # code points order as their UTF-8 does
        counts = [points_of(confs[name]) for name in self.names]
        total = sum(counts)
        if len(counts) > MAX_NODES or total > MAX_POINTS:
            raise ValueError(f"{len(counts)} nodes, {total} points: at most {MAX_NODES} and {MAX_POINTS}")
        n = total
        while <uint64_t>1 << bits < <uint64_t>n * BUCKETS_PER_POINT:
            bits += 1
        self.snapshot.shift = 64 - bits
        self.snapshot.points = <uint64_t*>PyMem_Malloc((n + 1) * sizeof(uint64_t))
        self.snapshot.owners = <uint16_t*>PyMem_Malloc((n + 1) * sizeof(uint16_t))
        self.snapshot.buckets = <uint32_t*>PyMem_Malloc((((<size_t>1) << bits) + 1) * sizeof(uint32_t))
        if self.snapshot.points is NULL or self.snapshot.owners is NULL or self.snapshot.buckets is NULL:
            raise MemoryError
        self.fill(counts, n)

    def __dealloc__(self):
        PyMem_Free(self.snapshot.points)
        PyMem_Free(self.snapshot.owners)
        PyMem_Free(self.snapshot.buckets)

    cdef int fill(self, list counts, uint32_t n) except -1:
        cdef uint64_t* places = <uint64_t*>PyMem_Malloc((n + 1) * sizeof(uint64_t))
        cdef uint16_t* owners = <uint16_t*>PyMem_Malloc((n + 1) * sizeof(uint16_t))
        cdef uint32_t done = 0, count, k
        cdef Py_ssize_t i
        cdef bytes prefix
        cdef bytearray text
        try:
            if places is NULL or owners is NULL:
                raise MemoryError
            for i in range(len(counts)):
                count = counts[i]
                prefix = f"{self.names[i]}-".encode()
                text = bytearray(prefix + bytes(11))
                hash_points(text, len(prefix), count, places + done)
                for k in range(count):
                    owners[done + k] = <uint16_t>i
                done += count
            arrange(&self.snapshot, places, owners, n)
        finally:
            PyMem_Free(places)
            PyMem_Free(owners)
        return 0


# Index of the point that owns `key`; -1: no node.
cdef int64_t position_in(State state, object key) except -2:
    cdef uint64_t place = place_of(key)
    if state.snapshot.n_points == 0:
        return -1
    return first_at_or_after(&state.snapshot, place) % state.snapshot.n_points

cdef str name_in(State state, object key):
    cdef int64_t i = position_in(state, key)
    return None if i < 0 else <str>state.names[state.snapshot.owners[i]]

cdef object setting_in(State state, object key, str what):
    cdef str name = name_in(state, key)
    return None if name is None else state.confs[name][what]


cdef tuple point_in(State state, int64_t i):
    return state.snapshot.points[i], state.names[state.snapshot.owners[i]]

cdef list ranges_that_differ(State old, State new):
    cdef Snapshot* a = &old.snapshot
    cdef Snapshot* b = &new.snapshot
    cdef list ranges = []
    cdef list old_names = list(old.names) or [None]
    cdef list new_names = list(new.names) or [None]
    cdef dict index = {name: i for i, name in enumerate(old_names)}
    cdef array.array renamed = new_array("i", [index.get(name, -1) for name in new_names])  # index in `new` -> in `old`
    cdef uint64_t start = 0, stop = 0, first_start = 0
    cdef uint32_t i = 0, j = 0
    cdef bint moved
    cdef int before = -1, after = -1        # owners of the range being gathered from `first_start`; -1: none
    # Each turn looks at the places from `start` to the next point of either ring; both end with one at 2**64-1.
    while True:
        stop = min(a.points[i], b.points[j])
        moved = renamed.data.as_ints[b.owners[j]] != a.owners[i]
        if before >= 0 and not (moved and before == a.owners[i] and after == b.owners[j]):
            ranges.append((first_start, start, old_names[before], new_names[after]))
            before = -1
        if moved and before < 0:
            first_start = start
            before = a.owners[i]
            after = b.owners[j]
        if stop == UINT64_MAX:
            break
        start = stop + 1
        while a.points[i] < start:
            i += 1
        while b.points[j] < start:
            j += 1
    if before >= 0:
        ranges.append((first_start, 1 << 64, old_names[before], new_names[after]))
    return ranges


cdef class Ring:
    """A ring of nodes, each with a weight; who owns a key changes only as far as it must when nodes come and go.

    `nodes`: names, or a mapping from name to weight, or to a dict of `weight`, `vnodes`, `hostname`, `port`, `instance`.
    `vnodes`: points per unit of weight. `weight_fn(**settings)` answers a node's weight when it is added or the ring is
    regenerated. Reading never locks, and a read sees one state of the ring from beginning to end.
    """

    def __init__(self, nodes=(), *, vnodes=256, weight_fn=None):
        cdef dict confs = {}
        if weight_fn is not None and not callable(weight_fn):
            raise TypeError("weight_fn must be callable")
        self.vnodes = checked_vnodes(vnodes)
        self.weight_fn = weight_fn
        self.writing = RLock()
        if isinstance(nodes, str):
            nodes = (nodes,)
        for name in nodes:
            confs[name] = self.settings(name, nodes[name] if isinstance(nodes, Mapping) else 1)
        self.install(confs)
        self.version = 0

    cdef uint16_t owner_of_hash(self, uint64_t place) noexcept nogil:
        return self.now.owners[first_at_or_after(self.now, place)]

    # Everything about one node, from what the caller wrote.
    cdef dict settings(self, object name, object conf):
        cdef dict full
        if not isinstance(name, str):
            raise TypeError(f"a node's name is a str, not {type(name).__name__}")
        full = {"hostname": name, "instance": None, "nodename": name, "port": None, "vnodes": self.vnodes, "weight": 1}
        if isinstance(conf, Mapping):
            unknown = [field for field in conf if field not in SETTINGS]
            if unknown:
                raise ValueError(f"node {name!r}: unknown {unknown[0]!r}; allowed are {', '.join(SETTINGS)}")
            full.update(conf)
            if full["nodename"] != name:
                raise ValueError(f"node {name!r}: its nodename is {full['nodename']!r}, and should be the same")
        else:
            full["weight"] = conf
        if self.weight_fn is not None:
            full["weight"] = self.weight_fn(**full)
        full["vnodes"] = checked_vnodes(full["vnodes"])
        weight = full["weight"]
        if not isinstance(weight, (int, float)):
            raise TypeError(f"node {name!r}: a weight is a number, not {type(weight).__name__}")
        if not 0 < weight < float("inf"):
            raise ValueError(f"node {name!r}: weight {weight}, should be above 0")
        return full

    cdef int install(self, dict confs) except -1:
        cdef State new = State(confs)
        cdef State old = self.state     # kept until the swap is done: its end may run code of the instances
        self.now = &new.snapshot
        self.state = new
        self.version += 1
        return 0

    def __repr__(self):
        cdef State state = self.state
        return f"<Ring of {len(state.names)} nodes, {state.snapshot.n_points} points>"

    # Which node?

    def owner(self, key):
        """The name of the node that owns `key`. LookupError: the ring is empty."""
        cdef str name = name_in(self.state, key)
        if name is None:
            raise LookupError("the ring is empty")
        return name

    def owners(self, keys):
        """The owner of each key, as indices into `.names`. LookupError: the ring is empty.

        `keys`: a contiguous buffer of 64-bit integers, walked without the GIL, or a sequence of keys.
        """
        cdef State state = self.state
        cdef Snapshot* ring = &state.snapshot
        cdef array.array out
        cdef Py_buffer view
        cdef Py_ssize_t i, n
        cdef list several
        if ring.n_points == 0:
            raise LookupError("the ring is empty")
        if not PyObject_CheckBuffer(keys):
            if isinstance(keys, str):
                raise TypeError("keys is one str; wanted is a sequence of keys")
            several = list(keys)
            out = array.clone(NO_OWNERS, len(several), zero=False)
            for i in range(len(several)):
                out.data.as_ushorts[i] = ring.owners[first_at_or_after(ring, place_of(several[i]))]
            return out
        PyObject_GetBuffer(keys, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        try:
            if view.ndim != 1 or view.itemsize != 8 or view.format not in INTEGERS:
                raise TypeError("a buffer of keys is one row of native 64-bit integers")
            n = view.len // 8
            out = array.clone(NO_OWNERS, n, zero=False)
            with nogil:
                owners_of_words(ring, <const uint64_t*>view.buf, n, out.data.as_ushorts)
        finally:
            PyBuffer_Release(&view)
        return out

    def get_node(self, key):
        """The name of the node that owns `key`; None while the ring is empty, as for all below."""
        return name_in(self.state, key)

    def get(self, key):
        """The settings of the node that owns `key`, as a dict."""
        cdef State state = self.state
        cdef str name = name_in(state, key)
        return None if name is None else dict(state.confs[name])

    def get_node_instance(self, key):
        """The `instance` of the node that owns `key`; the same as `ring[key]`."""
        return setting_in(self.state, key, "instance")

    def __getitem__(self, key):
        """The `instance` of the node that owns `key`."""
        return setting_in(self.state, key, "instance")

    def get_node_hostname(self, key):
        """The `hostname` of the node that owns `key`: its name unless told otherwise."""
        return setting_in(self.state, key, "hostname")

    def get_node_port(self, key):
        """The `port` of the node that owns `key`."""
        return setting_in(self.state, key, "port")

    def get_node_weight(self, key):
        """The weight of the node that owns `key`."""
        return setting_in(self.state, key, "weight")

    def get_node_pos(self, key):
        """The index, among the points, of the one that owns `key`."""
        cdef int64_t i = position_in(self.state, key)
        return None if i < 0 else i

    def get_server(self, key):
        """(place, name) of the point that owns `key`."""
        cdef State state = self.state
        cdef int64_t i = position_in(state, key)
        return None if i < 0 else point_in(state, i)

    def get_key(self, key):
        """The place of `key` on the circle of 2**64."""
        return place_of(key)

    def range(self, key, size=None, unique=True):
        """Yields the settings of the nodes met from `key` onwards, once around: each node once, or each point.

        `size` stops after that many; None or 0 is all.
        """
        cdef State state = self.state
        cdef int64_t first = position_in(state, key)
        cdef uint32_t step, n = state.snapshot.n_points
        cdef uint16_t owner
        met = set()
        left = size or (len(state.names) if unique else n)
        for step in range(n):
            owner = state.snapshot.owners[(<uint64_t>first + step) % n]
            if unique:
                if owner in met:
                    continue
                met.add(owner)
            yield dict(state.confs[state.names[owner]])
            left -= 1
            if left == 0:
                return

    def iterate_nodes(self, key, distinct=True):
        """Yields the names of the nodes met from `key` onwards; one None while the ring is empty."""
        if self.size == 0:
            yield None
        for conf in self.range(key, unique=distinct):
            yield conf["nodename"]

    # Which ranges?

    def table(self, bits=16):
        """The owner of each of 2**bits slots, as indices into `.names`: `table[hash >> (64 - bits)]` routes by one load.

        A slot belongs to the owner of its first place, so a key may belong to another node than `owner` says: who
        routes by the table asks only the table. LookupError: the ring is empty.
        """
        cdef State state = self.state
        cdef Snapshot* ring = &state.snapshot
        cdef array.array out
        cdef int n_bits
        if not isinstance(bits, int):
            raise TypeError(f"bits is an int, not {type(bits).__name__}")
        if not 1 <= bits <= MAX_TABLE_BITS:
            raise ValueError(f"bits {bits}: allowed are 1 to {MAX_TABLE_BITS}")
        if ring.n_points == 0:
            raise LookupError("the ring is empty")
        n_bits = bits
        out = array.clone(NO_OWNERS, (<Py_ssize_t>1) << n_bits, zero=False)
        with nogil:
            owners_of_slots(ring, n_bits, out.data.as_ushorts)
        return out

    def diff(self, Ring other):
        """The ranges [start, stop) of [0, 2**64) whose owner is `old` here and `new` in `other`: (start, stop, old, new).

        Compared by name (None: an empty ring); ascending, and neighbours that moved alike are one range.
        """
        return ranges_that_differ(self.state, other.state)

    # Coming and going

    def add_node(self, nodename, conf=1):
        """Add a node, or replace the weight and settings of one that is there. TypeError, ValueError: it cannot be one."""
        cdef dict confs
        with self.writing:
            confs = dict((<State>self.state).confs)
            confs[nodename] = self.settings(nodename, conf)
            self.install(confs)

    def __setitem__(self, nodename, conf):
        """Add a node, or replace the weight and settings of one that is there. TypeError, ValueError: it cannot be one."""
        self.add_node(nodename, conf)

    def remove_node(self, nodename):
        """Remove a node. KeyError: there is none of that name."""
        cdef dict confs
        with self.writing:
            confs = dict((<State>self.state).confs)
            if nodename not in confs:
                raise KeyError(f"no node {nodename!r}; there are {', '.join(confs) or 'none'}")
            del confs[nodename]
            self.install(confs)

    def __delitem__(self, nodename):
        """Remove a node. KeyError: there is none of that name."""
        self.remove_node(nodename)

    def regenerate(self):
        """Ask `weight_fn` for every node's weight again, and rebuild. TypeError, ValueError: what it said is no weight."""
        with self.writing:
            self.install({name: self.settings(name, conf) for name, conf in (<State>self.state).confs.items()})

    # What is there?

    @property
    def names(self):
        """The nodes' names, ascending: what the indices of `owners` and `table` mean."""
        return (<State>self.state).names

    @property
    def conf(self):
        """A copy of all settings: {name: {"weight": 1, ...}}."""
        return {name: dict(conf) for name, conf in (<State>self.state).confs.items()}

    @property
    def nodes(self):
        """The same as `conf`."""
        return self.conf

    @property
    def size(self):
        """The number of points."""
        return (<State>self.state).snapshot.n_points

    @property
    def distribution(self):
        """The number of points of each node, as a Counter."""
        return Counter({name: points_of(conf) for name, conf in (<State>self.state).confs.items()})

    def get_nodes(self):
        """The nodes' names, in the order they came."""
        return list((<State>self.state).confs)

    def get_points(self):
        """All points, ascending: [(place, name)]."""
        cdef State state = self.state
        return [point_in(state, i) for i in range(state.snapshot.n_points)]

    def get_instances(self):
        """The `instance` of every node that has one."""
        return [conf["instance"] for conf in (<State>self.state).confs.values() if conf["instance"]]

    def print_continuum(self):
        """Print every point."""
        points = self.get_points()
        print(f"Numpoints in continuum: {len(points)}" if points else "Continuum empty")
        for place, name in points:
            print(f"{name} ({place})")
