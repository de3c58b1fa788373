"""The opening handshake: is this key one, which subprotocol, and who compresses how?

RFC 6455 section 4, RFC 7692 section 7.1.
A server refuses what concerns the connection itself, and passes over an offer of compression that it cannot read or
take. A client fails the connection over any answer that it did not ask for.
"""
from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from hashlib import sha1

from hotpath.core.errors import RemoteProtocolError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"       # RFC 6455 section 1.3
VERSION = "13"
DEFLATE = "permessage-deflate"

KEY_BYTES = 16
MAX_WINDOW_BITS = 15
MIN_WINDOW_BITS = 8
# zlib cannot deflate raw with a window of 256 bytes.
MIN_DEFLATE_BITS = 9

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = r'"(?:[^"\\]|\\.)*"'
SPACE = r"[ \t]*"
PARAMETER = re.compile(rf"{SPACE};{SPACE}({TOKEN})(?:{SPACE}={SPACE}({TOKEN}|{QUOTED}))?")
NAME = re.compile(rf"{SPACE}({TOKEN})")
# Elements of a list; a comma within quotes ends none. What follows a quote that never ends belongs to its element.
ELEMENT = re.compile(rf'(?:{QUOTED}|".*|[^",])+', re.DOTALL)
WINDOW_BITS = re.compile(r"[89]|1[0-5]")


def is_key(key: str) -> bool:
    """Whether `key` may stand in Sec-WebSocket-Key: 24 characters of base64 for 16 bytes."""
    try:
        return len(key) == 24 and len(b64decode(key, validate=True)) == KEY_BYTES
    except (NoBase64, ValueError):      # ValueError: not ASCII
        return False


def accept_token(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return b64encode(sha1(key.encode() + GUID).digest()).decode()


def read_subprotocols(value: str) -> tuple[str, ...]:
    """The names in Sec-WebSocket-Protocol, in the client's order.

    Raises RemoteProtocolError for what is no token, for a name that comes twice, and for no name at all.
    """
    names = tuple(name for item in value.split(",") if (name := item.strip(" \t")))
    for name in names:
        if not re.fullmatch(TOKEN, name):
            raise RemoteProtocolError(f"subprotocol {name!r}: must be a token")
    if len(set(names)) < len(names):
        raise RemoteProtocolError("a subprotocol is offered twice: each may come once")
    if not names:
        raise RemoteProtocolError("an empty list of subprotocols: name one, or leave the header out")
    return names


def choose_subprotocol(offered: tuple[str, ...], known: Container[str]) -> str | None:
    """The first of the client's that we know; None: no header in the answer."""
    return next((name for name in offered if name in known), None)


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """How both sides compress: what one of them wants, or what was agreed.

    A side with no_context_takeover forgets its window after each message; max_window_bits is that window's logarithm.
    Who compresses takes a wish of 8 for 9, and a server wishes its clients no less: with zlib they cannot.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = MAX_WINDOW_BITS
    client_max_window_bits: int = MAX_WINDOW_BITS

    def __post_init__(self) -> None:
        """Raise ValueError for a window outside 8 to 15 bits."""
        for bits in (self.server_max_window_bits, self.client_max_window_bits):
            if not MIN_WINDOW_BITS <= bits <= MAX_WINDOW_BITS:
                raise ValueError(f"window of {bits} bits: must be {MIN_WINDOW_BITS} to {MAX_WINDOW_BITS}")


@dataclass(frozen=True, slots=True)
class Terms:
    """The parameters of one offer or answer, as they stand there. None: absent; 0: a client's, without a number."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None


def accept_deflate(value: str, wanted: DeflateParameters | None = None) -> tuple[DeflateParameters, str] | None:
    """A server's choice from Sec-WebSocket-Extensions: what is agreed, and the answer's header. None: no compression.

    The first offer that can be taken is; one that is not well-formed is passed over. `wanted` bounds the windows and
    may ask for no context takeover.
    """
    wanted = wanted or DeflateParameters()
    for element in elements(value):
        terms = read_terms(element)
        if terms is None or (terms.server_max_window_bits or MAX_WINDOW_BITS) < MIN_DEFLATE_BITS:
            continue
        agreed = DeflateParameters(
            server_no_context_takeover=terms.server_no_context_takeover or wanted.server_no_context_takeover,
            client_no_context_takeover=terms.client_no_context_takeover or wanted.client_no_context_takeover,
            server_max_window_bits=min(
                terms.server_max_window_bits or MAX_WINDOW_BITS, max(wanted.server_max_window_bits, MIN_DEFLATE_BITS)),
            # Who does not offer the parameter does not understand it in an answer (section 7.1.2.2).
            client_max_window_bits=MAX_WINDOW_BITS if terms.client_max_window_bits is None else min(
                terms.client_max_window_bits or MAX_WINDOW_BITS, max(wanted.client_max_window_bits, MIN_DEFLATE_BITS)),
        )
        return agreed, header(agreed, names_server_bits=terms.server_max_window_bits is not None)
    return None


def offer_deflate(wanted: DeflateParameters | None = None) -> str:
    """A client's Sec-WebSocket-Extensions. It lets the server choose the client's window, up to the one wanted."""
    wanted = wanted or DeflateParameters()
    own_bits = max(wanted.client_max_window_bits, MIN_DEFLATE_BITS)
    if own_bits < MAX_WINDOW_BITS:
        return header(replace(wanted, client_max_window_bits=own_bits))
    return header(wanted) + "; client_max_window_bits"


def judge_deflate(value: str, wanted: DeflateParameters | None = None) -> DeflateParameters:
    """What a server's Sec-WebSocket-Extensions agrees to, when `offer_deflate(wanted)` was offered.

    Raises RemoteProtocolError for any other answer: the client must fail the connection (RFC 7692 section 7.1).
    """
    wanted = wanted or DeflateParameters()
    own_bits = max(wanted.client_max_window_bits, MIN_DEFLATE_BITS)
    answers = list(elements(value))
    terms = read_terms(answers[0]) if len(answers) == 1 else None
    if terms is None or terms.client_max_window_bits == 0:
        raise RemoteProtocolError(f"extensions {value!r}: must be one {DEFLATE} with parameters of RFC 7692")
    if wanted.server_no_context_takeover and not terms.server_no_context_takeover:
        raise RemoteProtocolError(f"extensions {value!r}: server_no_context_takeover was asked for")
    # Absent, the server keeps to nothing (section 7.1.2.1).
    server_bits = terms.server_max_window_bits or MAX_WINDOW_BITS
    if server_bits > wanted.server_max_window_bits:
        raise RemoteProtocolError(
            f"extensions {value!r}: server_max_window_bits must be {wanted.server_max_window_bits} at most")
    client_bits = terms.client_max_window_bits or own_bits
    if not MIN_DEFLATE_BITS <= client_bits <= own_bits:
        raise RemoteProtocolError(
            f"extensions {value!r}: client_max_window_bits must be {MIN_DEFLATE_BITS} to {own_bits}")
    return DeflateParameters(
        server_no_context_takeover=terms.server_no_context_takeover,
        client_no_context_takeover=terms.client_no_context_takeover or wanted.client_no_context_takeover,
        server_max_window_bits=server_bits,
        client_max_window_bits=client_bits,
    )


def header(parameters: DeflateParameters, *, names_server_bits: bool = False) -> str:
    """The parameters as a header says them; the largest windows go without saying."""
    words = [DEFLATE]
    if parameters.server_no_context_takeover:
        words.append("server_no_context_takeover")
    if parameters.client_no_context_takeover:
        words.append("client_no_context_takeover")
    # An offer that names them is taken only by naming them too.
    if names_server_bits or parameters.server_max_window_bits < MAX_WINDOW_BITS:
        words.append(f"server_max_window_bits={parameters.server_max_window_bits}")
    if parameters.client_max_window_bits < MAX_WINDOW_BITS:
        words.append(f"client_max_window_bits={parameters.client_max_window_bits}")
    return "; ".join(words)


def elements(value: str) -> Iterator[str]:
    """The elements of a comma-separated list; empty ones count for nothing (RFC 9110 section 5.6.1)."""
    return (element for match in ELEMENT.finditer(value) if (element := match[0].strip(" \t")))


def read_terms(element: str) -> Terms | None:
    """The parameters of one offer or answer. None: another extension, or not as RFC 7692 wants it."""
    name = NAME.match(element)
    if name is None or name[1].lower() != DEFLATE:
        return None
    found: dict[str, int] = {}
    at = name.end()
    while at < len(element):
        parameter = PARAMETER.match(element, at)
        if parameter is None:
            return None
        at = parameter.end()
        key, value = parameter[1].lower(), parameter[2]
        if value is not None and value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        meaning = read_value(key, value)
        if key in found or meaning is None:
            return None
        found[key] = meaning
    return Terms(
        server_no_context_takeover="server_no_context_takeover" in found,
        client_no_context_takeover="client_no_context_takeover" in found,
        server_max_window_bits=found.get("server_max_window_bits"),
        client_max_window_bits=found.get("client_max_window_bits"),
    )


def read_value(key: str, value: str | None) -> int | None:
    """The number of a parameter, 0 without one; None: unknown, or with a value that it may not have."""
    match key:
        case "server_no_context_takeover" | "client_no_context_takeover":
            return 0 if value is None else None
        case "client_max_window_bits" if value is None:
            return 0
        case "server_max_window_bits" | "client_max_window_bits":
            return int(value) if value is not None and WINDOW_BITS.fullmatch(value) else None
    return None
