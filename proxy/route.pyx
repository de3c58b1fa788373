"""Routing: which route does a request take?

The order of proxy.yaml's routes does not matter but between equals: an exact host beats the longest `*.`, which beats none;
then an exact path beats the longest prefix, which beats a regex, which beats none; then more header conditions; then the file's
order. The method is looked at last, so that a path which exists answers 405 rather than 404.
"""
import re

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from hotpath.core.wire.http1 cimport METHOD_CONNECT, METHOD_GET, METHOD_HEAD, METHOD_OTHER, METHOD_TRACE, Field, Head
from hotpath.proxy.plan cimport (
    FIELD_EQUALS, FIELD_MATCHES, FIELD_PRESENT, Plan, field_match_t, route_t, text_t)

cdef extern from *:
    """
    static inline uint64_t fnv_step(uint64_t hash, uint8_t byte) { return (hash ^ byte) * 0x100000001b3ULL; }
    static inline uint8_t lower_byte(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }
    """
    uint64_t fnv_step(uint64_t hash, uint8_t byte) noexcept nogil      # FNV-1a: hashed while walking, so every prefix has its hash
    uint8_t lower_byte(uint8_t byte) noexcept nogil

cdef enum:
    EMPTY = 0xFFFFFFFF
    HOST_EXACT = 0              # entry_t.kind of hosts; paths: group * 2 + 4 (exact) or + 5 (prefix)
    HOST_WILDCARD = 1
    MAX_NESTED = 64             # prefixes of one path that are routes at once; more of them: the longest 64 count
    MAX_REGEX_PATH = 2048       # a longer path matches no regex: it bounds what one request can cost
    MAX_CACHED = 4096           # results of regexes

cdef uint64_t seed_of(uint32_t kind) noexcept nogil:
    return <uint64_t>0xcbf29ce484222325 ^ (<uint64_t>kind * <uint64_t>0x9E3779B97F4A7C15)

cdef const entry_t* lookup(const entry_t* entries, uint64_t mask, uint32_t kind, uint64_t hash, const uint8_t* data,
                           uint32_t size) noexcept nogil:
    cdef uint64_t i = (hash ^ (hash >> 32)) & mask
    while entries[i].text.size != EMPTY:
        if entries[i].hash == hash and entries[i].kind == kind and entries[i].text.size == size \
                and memcmp(entries[i].text.data, data, size) == 0:
            return &entries[i]
        i = (i + 1) & mask
    return NULL

cdef bint is_dot(const uint8_t* data, uint32_t size, uint32_t* used) noexcept nogil:
    """One dot, plain or as %2e, at the start of `data`."""
    if size >= 1 and data[0] == c".":
        used[0] = 1
        return True
    if size >= 3 and data[0] == c"%" and data[1] == c"2" and (data[2] == c"e" or data[2] == c"E"):
        used[0] = 3
        return True
    return False

cdef int dots_in(const uint8_t* segment, uint32_t size) noexcept nogil:
    """1 or 2 when the segment is "." or ".." in any spelling; else 0."""
    cdef uint32_t used = 0, at = 0
    if not is_dot(segment, size, &used):
        return 0
    at = used
    if at == size:
        return 1
    if not is_dot(segment + at, size - at, &used):
        return 0
    return 2 if at + used == size else 0

cdef int hex_value(uint8_t byte) noexcept nogil:
    if c"0" <= byte <= c"9":
        return byte - c"0"
    byte |= 0x20
    return byte - c"a" + 10 if c"a" <= byte <= c"f" else -1

cdef bint is_unreserved(int byte) noexcept nogil:
    """RFC 3986 section 2.3."""
    return c"0" <= byte <= c"9" or c"A" <= byte <= c"Z" or c"a" <= byte <= c"z" \
        or byte == c"-" or byte == c"." or byte == c"_" or byte == c"~"

cdef uint32_t copy_segment(const uint8_t* segment, uint32_t size, uint8_t* out) noexcept nogil:
    """Without escapes that nothing asks for (RFC 3986 section 6.2.2.2); returns the size."""
    cdef uint32_t at = 0, n = 0
    cdef int high, low
    while at < size:
        out[n] = segment[at]
        if segment[at] == c"%" and size - at >= 3:
            high, low = hex_value(segment[at + 1]), hex_value(segment[at + 2])
            if high >= 0 and low >= 0 and is_unreserved(high * 16 + low):
                out[n] = <uint8_t>(high * 16 + low)
                at += 2
        at += 1
        n += 1
    return n

cdef int normalise(const uint8_t* path, uint32_t size, uint8_t* out) noexcept nogil:
    cdef uint32_t at = 0, stop, n = 0
    cdef int dots
    while at < size:                        # path[at] is the "/" that opens a segment
        stop = at + 1
        while stop < size and path[stop] != c"/":
            stop += 1
        dots = dots_in(path + at + 1, stop - at - 1)
        if dots == 0:
            n += copy_segment(path + at, stop - at, out + n)
        else:
            if dots == 2:
                if n == 0:
                    return ABOVE_ROOT
                n -= 1
                while out[n] != c"/":
                    n -= 1
            if stop == size:                # a last dot segment leaves its slash
                out[n] = c"/"
                n += 1
        at = stop
    if n == 0:
        out[0] = c"/"
        n = 1
    return n

cdef bint name_is(const uint8_t* data, const Field* field, const text_t* lower) noexcept nogil:
    cdef uint32_t i
    if field.name_size != lower.size:
        return False
    for i in range(lower.size):
        if lower_byte(data[field.name_at + i]) != lower.data[i]:
            return False
    return True

cdef bint field_matches(const uint8_t* data, const Head* head, const field_match_t* wanted, table_t* table) noexcept nogil:
    cdef uint32_t i
    cdef const Field* field
    for i in range(head.n_fields):
        field = &head.fields[i]
        if not name_is(data, field, &wanted.name):
            continue
        if wanted.kind == FIELD_PRESENT:
            return True
        if wanted.kind == FIELD_EQUALS and field.value_size == wanted.value.size \
                and memcmp(data + field.value_at, wanted.value.data, wanted.value.size) == 0:
            return True
        if wanted.kind == FIELD_MATCHES and searches(table, wanted.regex, data + field.value_at, field.value_size):
            return True
    return False

cdef bint fields_match(const uint8_t* data, const Head* head, const route_t* route, table_t* table) noexcept nogil:
    cdef uint32_t i
    for i in range(route.n_fields):
        if not field_matches(data, head, &route.fields[i], table):
            return False
    return True

cdef bint takes_method(const route_t* route, const uint8_t* data, const Head* head) noexcept nogil:
    cdef uint32_t i
    if head.method_id != METHOD_OTHER:
        if route.methods & (<uint32_t>1 << head.method_id):
            return True
        if head.method_id == METHOD_HEAD and route.methods & (<uint32_t>1 << METHOD_GET):
            return True
        return route.any_method and head.method_id != METHOD_TRACE and head.method_id != METHOD_CONNECT
    if route.any_method:
        return True
    for i in range(route.n_other_methods):
        if route.other_methods[i].size == head.method.size \
                and memcmp(route.other_methods[i].data, data + head.method.at, head.method.size) == 0:
            return True
    return False

cdef bint searches(table_t* table, void* regex, const uint8_t* text, uint32_t size) noexcept with gil:
    """Whether a compiled pattern is found in the text: the one place where routing takes the GIL."""
    if size > MAX_REGEX_PATH:
        return False
    cdef Table owner = <Table>table.owner
    key = (<size_t>regex, text[:size])
    known = owner.cache.get(key)
    if known is None:
        if len(owner.cache) >= MAX_CACHED:
            owner.cache.clear()
        known = owner.cache[key] = (<object>regex).search(text[:size].decode("latin-1")) is not None
    return known


cdef bint try_chain(table_t* table, const chain_t* chain, const uint8_t* data, const Head* head, match_t* found) noexcept nogil:
    cdef uint32_t i
    cdef route_t* route
    for i in range(chain.n_routes):
        route = chain.routes[i]
        if route.n_fields and not fields_match(data, head, route, table):
            continue
        if takes_method(route, data, head):
            found.route = route
            return True
        if found.n_refused < MAX_REFUSED:
            found.refused[found.n_refused] = route
            found.n_refused += 1
    return False

cdef bint match_group(table_t* table, uint32_t group, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t size,
                      match_t* found) noexcept nogil:
    cdef uint64_t exact = seed_of(group * 2 + 4), prefix = seed_of(group * 2 + 5)
    cdef const entry_t* nested[MAX_NESTED]
    cdef const entry_t* entry
    cdef uint32_t n_nested = 0, i
    for i in range(size):
        # A prefix matches up to a "/" in it or behind it: "/api" takes "/api/x", not "/apix".
        if path[i] == c"/" and i > 0 and path[i - 1] != c"/":
            entry = lookup(table.entries, table.mask, group * 2 + 5, prefix, path, i)
            if entry != NULL:
                nested[n_nested % MAX_NESTED] = entry
                n_nested += 1
        exact = fnv_step(exact, path[i])
        prefix = fnv_step(prefix, path[i])
        if path[i] == c"/" or i == size - 1:
            entry = lookup(table.entries, table.mask, group * 2 + 5, prefix, path, i + 1)
            if entry != NULL:
                nested[n_nested % MAX_NESTED] = entry
                n_nested += 1
    entry = lookup(table.entries, table.mask, group * 2 + 4, exact, path, size)
    if entry != NULL and try_chain(table, &entry.chain, data, head, found):
        return True
    i = 0
    while n_nested > 0 and i < MAX_NESTED:
        n_nested -= 1
        i += 1
        if try_chain(table, &nested[n_nested % MAX_NESTED].chain, data, head, found):
            return True
    cdef group_t* of_host = &table.groups[group]
    for i in range(of_host.n_patterns):
        if searches(table, of_host.patterns[i].regex, path, size) \
                and try_chain(table, &of_host.patterns[i].chain, data, head, found):
            return True
    return try_chain(table, &of_host.rest, data, head, found)

cdef uint32_t host_size(const uint8_t* host, uint32_t size) noexcept nogil:
    cdef uint32_t i = size              # "]" ends an IPv6 literal, whose colons stay
    while i > 0 and c"0" <= host[i - 1] <= c"9":
        i -= 1
    if i > 0 and host[i - 1] == c":":
        size = i - 1
    return size - 1 if size > 1 and host[size - 1] == c"." else size

cdef bint match_suffix(table_t* table, const uint8_t* suffix, uint32_t suffix_size, const uint8_t* data, const Head* head,
                       const uint8_t* path, uint32_t path_size, match_t* found) noexcept nogil:
    cdef uint64_t hash = seed_of(HOST_WILDCARD)
    cdef uint32_t i
    for i in range(suffix_size):
        hash = fnv_step(hash, suffix[i])
    cdef const entry_t* entry = lookup(table.entries, table.mask, HOST_WILDCARD, hash, suffix, suffix_size)
    return entry != NULL and match_group(table, entry.group, data, head, path, path_size, found)

cdef void table_match(table_t* table, const uint8_t* data, const Head* head, const uint8_t* path, uint32_t path_size,
                match_t* found) noexcept nogil:
    cdef uint8_t host[256]
    cdef uint32_t size = head.host.size, i
    cdef uint64_t hash
    cdef const entry_t* entry
    found.route = NULL
    found.n_refused = 0
    if table.has_hosts and 0 < size <= 256:
        size = host_size(data + head.host.at, size)
        hash = seed_of(HOST_EXACT)
        for i in range(size):
            host[i] = lower_byte(data[head.host.at + i])
            hash = fnv_step(hash, host[i])
        entry = lookup(table.entries, table.mask, HOST_EXACT, hash, host, size)
        if entry != NULL and match_group(table, entry.group, data, head, path, path_size, found):
            return
        if table.has_wildcards:
            for i in range(1, size):    # each "." opens a shorter suffix; at least one label stands before it
                if host[i] == c"." and match_suffix(table, host + i, size - i, data, head, path, path_size, found):
                    return
    match_group(table, 0, data, head, path, path_size, found)


cdef chain_t make_chain(Plan plan, indexes):
    """More header conditions first; the sort is stable, so the file's order decides between equals."""
    cdef chain_t made
    ordered = sorted(indexes, key=lambda index: plan.c.routes[<size_t>index].n_fields, reverse=True)
    made.n_routes = len(ordered)
    made.routes = <route_t**>plan.reserve(sizeof(route_t*) * max(1, len(ordered)))
    for i, index in enumerate(ordered):
        made.routes[<size_t>i] = &plan.c.routes[<size_t>index]
    return made

cdef entry_t* insert(Table table, Plan plan, uint32_t kind, str text) except NULL:
    cdef text_t kept = plan.text(text)
    cdef uint64_t hash = seed_of(kind)
    cdef uint32_t k
    for k in range(kept.size):
        hash = fnv_step(hash, kept.data[k])
    cdef uint64_t i = (hash ^ (hash >> 32)) & table.c.mask
    while table.c.entries[i].text.size != EMPTY:
        i = (i + 1) & table.c.mask
    table.c.entries[i].hash = hash
    table.c.entries[i].kind = kind
    table.c.entries[i].text = kept
    return &table.c.entries[i]

cdef fill(Table table, Plan plan, uint32_t group, indexes):
    """Files the routes of one host pattern under their paths."""
    exact = {}
    prefixes = {}
    regexes = {}
    rest = []
    for index in indexes:
        match = plan.config.routes[index].match
        if match.path is not None:
            exact.setdefault(match.path, []).append(index)
        elif match.prefix is not None:
            prefixes.setdefault(match.prefix, []).append(index)
        elif match.regex is not None:
            regexes.setdefault(match.regex, []).append(index)
        else:
            rest.append(index)
    for path, chosen in exact.items():
        insert(table, plan, group * 2 + 4, path).chain = make_chain(plan, chosen)
    for path, chosen in prefixes.items():
        insert(table, plan, group * 2 + 5, path).chain = make_chain(plan, chosen)
    table.c.groups[group].rest = make_chain(plan, rest)
    table.c.groups[group].n_patterns = len(regexes)
    table.c.groups[group].patterns = <pattern_t*>plan.reserve(sizeof(pattern_t) * max(1, len(regexes)))
    for i, (source, chosen) in enumerate(regexes.items()):
        compiled = re.compile(source)
        plan.kept.append(compiled)
        table.c.groups[group].patterns[<size_t>i].regex = <void*>compiled
        table.c.groups[group].patterns[<size_t>i].chain = make_chain(plan, chosen)


cdef class Table:
    """The routes of a Plan, arranged for look-up. Immutable."""

    def __init__(self, Plan plan):
        self.plan = plan
        self.c.owner = <void*>self
        self.cache = {}
        patterns = sorted({pattern for route in plan.config.routes for pattern in route.match.host})
        groups = {None: 0, **{pattern: i + 1 for i, pattern in enumerate(patterns)}}
        self.c.groups = <group_t*>plan.reserve(sizeof(group_t) * len(groups))
        cdef size_t n_slots = 16
        wanted = len(groups) + sum(max(1, len(route.match.host)) for route in plan.config.routes)
        while n_slots < 2 * wanted:
            n_slots *= 2
        self.c.entries = <entry_t*>plan.reserve(sizeof(entry_t) * n_slots)
        self.c.mask = n_slots - 1
        cdef size_t i
        for i in range(n_slots):
            self.c.entries[i].text.size = EMPTY
        for pattern in patterns:
            wild = pattern.startswith("*.")
            self.c.has_hosts = True
            self.c.has_wildcards = self.c.has_wildcards or wild
            host = pattern[1:] if wild else pattern
            insert(self, plan, HOST_WILDCARD if wild else HOST_EXACT, host.lower()).group = groups[pattern]
        for pattern, group in groups.items():
            fill(self, plan, group, [
                index for index, route in enumerate(plan.config.routes)
                if (pattern in route.match.host if pattern is not None else not route.match.host)])
