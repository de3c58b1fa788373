"""What the HTTP/1.1 kernels answer, as Python values: for tests, tools and reading."""
from dataclasses import dataclass

from typing_extensions import Buffer, disjoint_base

@dataclass(frozen=True, slots=True)
class HeadField:
    """One field line. `known` is the kernel's number for the name, 0 for any other."""

    name: bytes
    value: bytes
    known: int
    underscore: bool
    folded: bool

@dataclass(frozen=True, slots=True)
class RequestHead:
    """A whole request head; `consumed` bytes, with its empty line."""

    consumed: int
    method: bytes
    method_id: int
    target: bytes
    form: str
    path: bytes
    query: bytes | None
    host: bytes
    path_is_plain: bool
    version: tuple[int, int]
    framing: str
    content_length: int
    connection: frozenset[str]
    keep_alive: bool
    expects_continue: bool
    expects_other: bool
    upgrades_websocket: bool
    fields: tuple[HeadField, ...]
    first: dict[int, int]

@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A whole response head; `consumed` bytes, with its empty line."""

    consumed: int
    status: int
    reason: bytes
    version: tuple[int, int]
    framing: str
    content_length: int
    connection: frozenset[str]
    keep_alive: bool
    upgrades_websocket: bool
    fields: tuple[HeadField, ...]
    first: dict[int, int]

@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol or a limit; `status` is what to answer."""

    status: int
    error: str

FORMS: tuple[str, ...]
FRAMINGS: tuple[str, ...]

def parse_request(
    data: Buffer, *, strict: bool = True, seen: int = 0, line: int = 8192, head: int = 32768, fields: int = 100
) -> RequestHead | Broken | None:
    """The request head that `data` begins with; None: not whole yet.

    `seen` is the size given at the last None; `line` and `head` are limits in bytes, `fields` in field lines.
    """

def parse_response(
    data: Buffer, *, method: bytes = b"GET", strict: bool = True, seen: int = 0, line: int = 8192, head: int = 32768,
    fields: int = 100
) -> ResponseHead | Broken | None:
    """The head of the response to a `method` request that `data` begins with; None: not whole yet."""

@disjoint_base
class Body:
    """A body as it comes in: give it bytes, get payload."""

    def __init__(self, framing: str, *, length: int = 0, strict: bool = True, max_trailers: int = 32768) -> None: ...
    @property
    def done(self) -> bool:
        """The body is complete; what follows is the next message."""

    @property
    def error(self) -> str | None:
        """What the peer did wrong; None while nothing."""

    def feed(self, data: Buffer) -> tuple[int, bytes]:
        """Take bytes until the body is done or broken: how many were taken, and the payload among them."""

def reason_phrase(status: int) -> str:
    """The usual reason phrase of a status (RFC 9110 section 15); "" for an unknown one."""
