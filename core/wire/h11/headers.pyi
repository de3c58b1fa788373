"""The fields of a message: who may stand in it, and what do they say?"""
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from typing_extensions import disjoint_base

from hotpath.core.wire.h11.events import Request, _Fields, _Text

@disjoint_base
class Headers(Sequence[tuple[bytes, bytes]]):
    """A sequence of (name in small letters, value); raw_items() has the names as they were sent.

    `items`: triples (name as sent, name in small letters, value), taken as they are. Equal to any sequence of the same
    pairs.
    """

    def __init__(self, items: Iterable[tuple[bytes, bytes, bytes]] = ()) -> None: ...
    def raw_items(self) -> list[tuple[bytes, bytes]]:
        """[(name as sent, value), …]."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> tuple[bytes, bytes]: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[tuple[bytes, bytes]]: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __reversed__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __contains__(self, pair: object, /) -> bool: ...
    def index(self, value: object, start: int = 0, stop: int = 9223372036854775807) -> int:
        """The place of the first such pair; ValueError if there is none."""

    def count(self, value: object) -> int:
        """How many such pairs."""

    def __eq__(self, other: object, /) -> bool: ...

def normalize_and_validate(headers: _Fields) -> Headers:
    """Headers from pairs of str or bytes; LocalProtocolError for what no message may hold.

    Equal Content-Lengths become one. Of transfer codings only chunked, once, is allowed: 501.
    """

def get_comma_header(headers: Headers, name: bytes) -> list[bytes]:
    """What the comma-separated fields of that name list, in small letters; `name` in small letters too."""

def set_comma_header(headers: Headers, name: bytes, new_values: list[_Text]) -> Headers:
    """The headers without those of that name, and one for each new value behind them."""

def has_expect_100_continue(request: Request) -> bool:
    """Whether the client waits for a 100 before it sends the body; one of HTTP/1.0 cannot."""

def bytesify(s: _Text) -> bytes:
    """ASCII str or anything like bytes, as bytes."""
