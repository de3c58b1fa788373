"""What a handler is asked: the head as received, and decoded only where somebody looks."""
from libc.stdint cimport uint8_t, uint32_t
cimport cython

from hotpath.core.wire.http1 cimport STRICT, Field, Head, Limits, parse_request

from hotpath.core.serve.problem import RequestError

import ipaddress
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

cdef Limits ANY_HEAD
ANY_HEAD.line = ANY_HEAD.head = 0x7FFFFFFF
ANY_HEAD.fields = 256


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


# Whether a field's name, in any case, is this one in lower case.
cdef bint is_name(const char* name, const char* lower, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef char c
    for i in range(size):
        c = name[i]
        if c'A' <= c <= c'Z':
            c |= 0x20
        if c != lower[i]:
            return False
    return True


cdef class Incoming(Task):
    """The task that serves a request."""

    cdef object next_piece(self):
        return None


class Headers:
    """The fields of a request: names in any case, values as Latin-1."""

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, pairs):
        self._pairs = pairs
        self._by_name = {}
        for name, value in pairs:
            name = name.lower()
            self._by_name[name] = f"{self._by_name[name]}, {value}" if name in self._by_name else value

    def __getitem__(self, name):
        return self._by_name[name.lower()]

    def __contains__(self, name):
        return isinstance(name, str) and name.lower() in self._by_name

    def __iter__(self):
        return iter(self._by_name)

    def __len__(self):
        return len(self._by_name)

    def __repr__(self):
        return f"Headers({self._pairs!r})"

    def get(self, name, default=None):
        """The value of the field `name`, several joined by ", "; `default` without one."""
        return self._by_name.get(name.lower(), default)

    def all(self, name):
        """Each value of the field `name`, in order."""
        return [value for key, value in self._pairs if key.lower() == name.lower()]

    def items(self):
        """(name, value) of each field, as sent and in order."""
        return list(self._pairs)


@cython.freelist(64)
cdef class Request:
    """One request; its head is all here, its body comes when asked for."""

    cdef str text(self, Span span):
        return (<const char*>self.head)[span.at:span.at + span.size].decode("latin-1")

    @property
    def method(self) -> str:
        """As sent: methods have no other case."""
        return self.text(self.method_span)

    @property
    def target(self) -> str:
        """The request target as sent."""
        return self.text(self.target_span)

    @property
    def path(self) -> str:
        """The path, percent-decoded; a %2F in it reads like a slash, and bytes that are no UTF-8 as U+FFFD."""
        raw = self.text(self.path_span)
        return unquote_to_bytes(raw).decode(errors="replace") if "%" in raw else raw

    @property
    def raw_path(self) -> str:
        """The path as sent."""
        return self.text(self.path_span)

    @property
    def query_string(self) -> str:
        """What stands behind the "?", as sent; "" without one."""
        return self.text(self.query_span)

    @property
    def query(self) -> dict:
        """The parameters of the query, decoded; of one that comes twice, the last. Raises RequestError for too many."""
        return dict(self.query_list)

    @property
    def query_list(self) -> list:
        """(name, value) of each parameter, in order."""
        if self.query_span.size == 0:
            return []
        try:
            return parse_qsl(self.text(self.query_span), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise RequestError("more than 1000 parameters in the query") from None

    @property
    def headers(self) -> Headers:
        """The fields."""
        if self.fields is None:
            self.fields = Headers(pairs_of(self.head))
        return self.fields

    def field(self, str name not None) -> str | None:
        """The value of the field `name`, given in lower case; several are joined as in `headers`. None without one.

        Makes no other field: for whoever asks for one or two.
        """
        cdef Head head
        cdef const char* at = self.head
        cdef const char* wanted
        cdef Py_ssize_t size
        cdef const Field* field
        cdef uint32_t i
        if self.fields is not None:
            return self.fields.get(name)
        wanted = PyUnicode_AsUTF8AndSize(name, &size)
        value = None
        if parse_request(<const uint8_t*>at, len(self.head), 0, &ANY_HEAD, STRICT, &head) > 0:
            for i in range(head.n_fields):
                field = &head.fields[i]
                if field.name_size == size and is_name(at + field.name_at, wanted, size):
                    one = at[field.value_at:field.value_at + field.value_size].decode("latin-1")
                    value = one if value is None else f"{value}, {one}"
        return value

    @property
    def client(self) -> tuple | None:
        """(address, port) of the peer, an IPv4 address in its own spelling; None on a unix socket."""
        cdef bytes raw = (<char*>self.address)[:16]
        if raw == b"\xff" * 16:
            return None
        address = ipaddress.IPv6Address(raw)
        return str(address.ipv4_mapped or address), self.port

    @property
    def http_version(self) -> str:
        """"1.1" or "1.0"."""
        return "1.1" if self.minor else "1.0"

    def body(self) -> bytes:
        """The whole body; asked again, the same. Raises RequestError when it does not come, is too long or broken."""
        cdef list pieces
        if self.content is None:
            self.begin_reading()
            pieces = []
            while (piece := self.incoming.next_piece()) is not None:
                pieces.append(piece)
            self.content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self.content

    def json(self, type: object = object) -> object:
        """The body as JSON, converted to `type` by msgspec. RequestError: 415 for another content type, 400, or 422."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise RequestError("the body is not declared as application/json", 415)
        try:
            return msgspec.json.decode(self.body(), type=type)
        except msgspec.ValidationError as error:
            raise RequestError(str(error), 422) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError(f"not JSON: {error}") from None
        except RecursionError:
            raise RequestError("the JSON is nested too deeply") from None

    def stream(self) -> object:
        """The body piece by piece, as it arrives; once. What is not asked for is not read: the sender waits."""
        if self.content is not None:
            return iter((self.content,) if self.content else ())
        self.begin_reading()
        return self.pieces()

    def begin_reading(self) -> None:
        if self.streamed:
            raise RuntimeError("the body was read already")
        if self.incoming is None:
            raise RuntimeError("the request is answered already")
        self.streamed = True

    def pieces(self) -> object:
        while self.incoming is not None and (piece := self.incoming.next_piece()) is not None:
            yield piece


cdef list pairs_of(bytes data):
    """(name, value) of each field of a whole head. It was accepted before, so it is parsed again."""
    cdef Head head
    cdef const char* at = data
    cdef const Field* field
    cdef uint32_t i
    cdef list pairs = []
    if parse_request(<const uint8_t*>at, len(data), 0, &ANY_HEAD, STRICT, &head) > 0:
        for i in range(head.n_fields):
            field = &head.fields[i]
            pairs.append((at[field.name_at:field.name_at + field.name_size].decode("latin-1"),
                          at[field.value_at:field.value_at + field.value_size].decode("latin-1")))
    return pairs
