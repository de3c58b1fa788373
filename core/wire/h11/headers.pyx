"""The fields of a message: who may stand in it, and what do they say?

Parsed fields stay what they are, bytes and spans, until somebody looks at them: a server that routes by the target alone
never pays for them.
"""
from collections.abc import Sequence

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, uint8_t
from libc.string cimport memcpy

from hotpath.core.errors import LocalProtocolError
from hotpath.core.wire.head cimport (
    FIELD_FOLDED,
    N_NAMES,
    NAME_CONTENT_LENGTH,
    NAME_OTHER,
    NAME_TRANSFER_ENCODING,
    Field,
    Head,
)


cdef extern from "../scan.h" nogil:
    enum:
        TOKEN
    bint is_a(uint8_t byte, int class_bits)
    bint is_blank(uint8_t byte)
    const uint8_t* scan_class(const uint8_t* p, const uint8_t* end, int class_bits)
    const uint8_t* scan_visible(const uint8_t* p, const uint8_t* end)
    const uint8_t* scan_free_value(const uint8_t* p, const uint8_t* end)


cdef extern from "../words.h" nogil:
    const char[23][20] known_names
    uint8_t lower(uint8_t byte)


# As h11: a hundred million terabytes less one byte.
cdef int MAX_LENGTH_DIGITS = 20

# The names every message has, in small letters, by NAME_.
cdef list KNOWN = [<bytes> known_names[i] for i in range(N_NAMES)]


# ---------------------------------------------------------------------------------------------- bytes and their grammar

cdef bytes as_bytes(object text):
    if type(text) is bytes:
        return text
    if isinstance(text, str):
        return text.encode("ascii")
    if isinstance(text, int):
        raise TypeError("expected bytes or str, not int")       # bytes(5) would be five NULs
    return bytes(text)


cdef bint is_token(bytes text) noexcept:
    cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(text)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(text)
    return p < end and scan_class(p, end, TOKEN) == end


cdef bint is_visible(bytes text) noexcept:
    cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(text)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(text)
    return p < end and scan_visible(p, end) == end


cdef bint is_value(bytes text) noexcept:
    cdef const uint8_t* p = <const uint8_t*> PyBytes_AS_STRING(text)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(text)
    return p == end or (not is_blank(p[0]) and not is_blank(end[-1]) and scan_free_value(p, end) == end)


cdef bytes in_small_letters(const char* text, Py_ssize_t size):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(made)
    cdef Py_ssize_t i
    for i in range(size):
        to[i] = <char> lower(<uint8_t> text[i])
    return made


# Each further line loses its blanks in front and is joined by one space: RFC 9112 section 5.2.
cdef bytes unfolded(bytes value):
    first, *others = [line.removesuffix(b"\r") for line in value.split(b"\n")]
    return b"".join([first, *[b" " + line.lstrip(b" \t") for line in others]])


# ---------------------------------------------------------------------------------------------- the sequence

@cython.auto_pickle(False)
cdef class Headers:
    """A sequence of (name in small letters, value); raw_items() has the names as they were sent.

    `items`: triples (name as sent, name in small letters, value), taken as they are. Equal to any sequence of the same
    pairs.
    """

    def __init__(self, items=()):
        self.items = list(items)

    def __dealloc__(self):
        PyMem_Free(self.fields)

    cdef list full_items(self):
        if self.items is None:
            self.items = self.read_fields(False)
        return self.items

    # Pairs are what most readers want, and cost half of what triples do.
    cdef list read_fields(self, bint as_pairs):
        cdef const char* data = PyBytes_AS_STRING(self.raw) + self.base
        cdef Field* field
        cdef Py_ssize_t i
        cdef bytes sent, name, value
        cdef bint has_length = False
        cdef list items = []
        for i in range(self.n_fields):
            field = &self.fields[i]
            value = PyBytes_FromStringAndSize(data + field.value_at, field.value_size)
            if field.flags & FIELD_FOLDED:
                value = unfolded(value)
            if field.known == NAME_CONTENT_LENGTH:
                if has_length:
                    continue            # h11 shows equal lengths once
                has_length = True
                value = value.split(b",")[0].strip()
            elif field.known == NAME_TRANSFER_ENCODING:
                value = value.lower()
            name = in_small_letters(data + field.name_at, field.name_size) if field.known == NAME_OTHER else KNOWN[field.known]
            if as_pairs:
                items.append((name, value))
            else:
                items.append((PyBytes_FromStringAndSize(data + field.name_at, field.name_size), name, value))
        return items

    def raw_items(self) -> list:
        """[(name as sent, value), …]."""
        return [(item[0], item[2]) for item in self.full_items()]

    cdef list pairs(self):
        cdef tuple item
        if self.items is None:
            return self.read_fields(True)
        return [(item[1], item[2]) for item in self.items]

    # list() asks for it, and must not make triples of what is read as pairs.
    def __len__(self) -> int:
        cdef Py_ssize_t i, lengths = 0
        if self.items is not None:
            return len(self.items)
        for i in range(self.n_fields):
            lengths += self.fields[i].known == NAME_CONTENT_LENGTH
        return self.n_fields - (lengths - 1 if lengths > 1 else 0)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.pairs()[index]
        cdef tuple item = self.full_items()[index]
        return item[1], item[2]

    def __iter__(self):
        return iter(self.pairs())

    def __reversed__(self):
        return reversed(self.pairs())

    def __contains__(self, pair) -> bool:
        return pair in self.pairs()

    def index(self, value, start=0, stop=9223372036854775807) -> int:
        """The place of the first such pair; ValueError if there is none."""
        return self.pairs().index(value, start, stop)

    def count(self, value) -> int:
        """How many such pairs."""
        return self.pairs().count(value)

    def __eq__(self, other):
        return self.pairs() == list(other)

    def __repr__(self) -> str:
        return f"<Headers({self.pairs()!r})>"


Sequence.register(Headers)
cdef Headers NO_HEADERS = Headers()


cdef Headers parsed_headers(bytes raw, Py_ssize_t base, const Head* head):
    cdef Headers headers
    cdef size_t size = head.n_fields * sizeof(Field)
    if size == 0:
        return NO_HEADERS
    headers = Headers.__new__(Headers)
    headers.fields = <Field*> PyMem_Malloc(size)
    if headers.fields == NULL:
        raise MemoryError
    memcpy(headers.fields, &head.fields[0], size)
    headers.n_fields = head.n_fields
    headers.raw = raw
    headers.base = base
    return headers


# ---------------------------------------------------------------------------------------------- fields to be sent

def normalize_and_validate(headers) -> Headers:
    """Headers from pairs of str or bytes; LocalProtocolError for what no message may hold.

    Equal Content-Lengths become one. Of transfer codings only chunked, once, is allowed: 501.
    """
    cdef list items = []
    cdef bytes name, value, sent, length = None
    cdef bint has_coding = False
    if isinstance(headers, Headers):
        headers = (<Headers> headers).raw_items()
    for given_name, given_value in headers:
        sent = as_bytes(given_name)
        value = as_bytes(given_value)
        if not is_token(sent):
            raise LocalProtocolError(f"illegal header name {sent!r}")
        if not is_value(value):
            raise LocalProtocolError(f"illegal header value {value!r}")
        name = in_small_letters(PyBytes_AS_STRING(sent), PyBytes_GET_SIZE(sent))
        if name == b"content-length":
            value = the_length(value)
            if length is not None:
                if length != value:
                    raise LocalProtocolError("conflicting Content-Length headers")
                continue
            length = value
        elif name == b"transfer-encoding":
            value = value.lower()
            if has_coding:
                raise LocalProtocolError("more than one Transfer-Encoding", error_status_hint=501)
            if value != b"chunked":
                raise LocalProtocolError("Transfer-Encoding other than chunked", error_status_hint=501)
            has_coding = True
        items.append((sent, name, value))
    cdef Headers made = Headers.__new__(Headers)
    made.items = items
    return made


# The one number that a Content-Length repeats.
cdef bytes the_length(bytes value):
    cdef set lengths = {item.strip() for item in value.split(b",")} if b"," in value else {value}
    cdef bytes length = lengths.pop()
    if lengths:
        raise LocalProtocolError("conflicting Content-Length headers")
    if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
        raise LocalProtocolError("malformed Content-Length")
    return length


cdef Headers checked_headers(object headers):
    if isinstance(headers, Headers):
        return headers
    return normalize_and_validate(headers)


cdef list comma_items(Headers headers, bytes name):
    cdef list found = []
    cdef tuple item
    for item in headers.full_items():
        if <bytes> item[1] == name:
            for part in (<bytes> item[2]).lower().split(b","):
                part = part.strip()
                if part:
                    found.append(part)
    return found


cdef Headers with_header(Headers headers, bytes name, list values):
    cdef tuple item
    cdef list pairs = [(item[0], item[2]) for item in headers.full_items() if <bytes> item[1] != name]
    pairs.extend([(name.title(), value) for value in values])
    return normalize_and_validate(pairs)


cdef int read_facts(Headers headers, Facts* facts) except -1:
    cdef tuple item
    cdef bytes name
    cdef Py_ssize_t size
    facts.has_coding = facts.has_length = facts.close = facts.upgrades = facts.expects_continue = False
    facts.length = 0
    for item in headers.full_items():
        name = item[1]
        size = PyBytes_GET_SIZE(name)
        if size == 17 and name == b"transfer-encoding":
            facts.has_coding = True
        elif size == 14 and name == b"content-length":
            facts.has_length = True
            facts.length = min(int(item[2]), INT64_MAX)
        elif size == 10 and name == b"connection":
            facts.close |= b"close" in comma_items(headers, name)
        elif size == 7 and name == b"upgrade":
            facts.upgrades |= len(comma_items(headers, name)) > 0
        elif size == 6 and name == b"expect":
            facts.expects_continue |= b"100-continue" in comma_items(headers, name)
    return 0


def get_comma_header(Headers headers, bytes name) -> list:
    """What the comma-separated fields of that name list, in small letters; `name` in small letters too."""
    return comma_items(headers, name)


def set_comma_header(Headers headers, bytes name, list new_values) -> Headers:
    """The headers without those of that name, and one for each new value behind them."""
    return with_header(headers, name, new_values)


def has_expect_100_continue(request) -> bool:
    """Whether the client waits for a 100 before it sends the body; one of HTTP/1.0 cannot."""
    return request.http_version >= b"1.1" and b"100-continue" in comma_items(request.headers, b"expect")


def bytesify(s) -> bytes:
    """ASCII str or anything like bytes, as bytes."""
    return as_bytes(s)
