"""What happens on an HTTP/1.1 connection: one class per event, whose values never change."""
from collections.abc import Iterable
from typing import ClassVar, Never, TypeAlias

from typing_extensions import disjoint_base

from hotpath.core.wire.h11.headers import Headers

_Text: TypeAlias = bytes | bytearray | memoryview | str
_Fields: TypeAlias = Headers | Iterable[tuple[_Text, _Text]]

@disjoint_base
class Event:
    """Whatever next_event() answers and send() takes."""

    def __eq__(self, other: object, /) -> bool: ...

@disjoint_base
class Request(Event):
    """The head of a request. `method` and `target` are str or bytes; `headers` Headers or pairs."""

    __match_args__: ClassVar[tuple[str, ...]]
    def __init__(
        self, *none: Never, method: _Text, headers: _Fields, target: _Text, http_version: _Text = b"1.1",
    ) -> None: ...
    @property
    def method(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def target(self) -> bytes: ...
    @property
    def http_version(self) -> bytes: ...

@disjoint_base
class ResponseBase(Event):
    """What both kinds of response hold."""

    __match_args__: ClassVar[tuple[str, ...]]
    @property
    def headers(self) -> Headers: ...
    @property
    def http_version(self) -> bytes: ...
    @property
    def reason(self) -> bytes: ...
    @property
    def status_code(self) -> int: ...

class InformationalResponse(ResponseBase):
    """The head of an interim response: 100 to 199."""

    def __init__(
        self, *none: Never, headers: _Fields, status_code: int, http_version: _Text = b"1.1", reason: _Text = b"",
    ) -> None: ...

class Response(ResponseBase):
    """The head of a response: 200 to 999."""

    def __init__(
        self, *none: Never, headers: _Fields, status_code: int, http_version: _Text = b"1.1", reason: _Text = b"",
    ) -> None: ...

@disjoint_base
class Data(Event):
    """A piece of a body. `chunk_start`, `chunk_end`: a chunk of what was received begins or ends with it.

    What was received is bytes. send() takes what is like bytes, send_with_data_passthrough() anything with a length.
    """

    __match_args__: ClassVar[tuple[str, ...]]
    def __init__(self, data: object, chunk_start: bool = False, chunk_end: bool = False) -> None: ...
    @property
    def data(self) -> bytes: ...
    @property
    def chunk_start(self) -> bool: ...
    @property
    def chunk_end(self) -> bool: ...

@disjoint_base
class EndOfMessage(Event):
    """The body is whole. `headers`: its trailers, which only a chunked body can have."""

    __match_args__: ClassVar[tuple[str, ...]]
    def __init__(self, *none: Never, headers: _Fields | None = None) -> None: ...
    @property
    def headers(self) -> Headers: ...

class ConnectionClosed(Event):
    """The sender has closed; it may still read."""

    __match_args__: ClassVar[tuple[str, ...]]
    def __hash__(self) -> int: ...
