"""The numbers of RFC 6455 under their names: opcodes and close codes."""
from __future__ import annotations

from enum import IntEnum

from hotpath.core import errors


class Opcode(IntEnum):
    """What a frame is (section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    def iscontrol(self) -> bool:
        """Does it steer the connection, rather than carry a message?"""
        return self >= Opcode.CLOSE


class CloseReason(IntEnum):
    """Why a connection closes (section 7.4.1 and IANA's registry behind it)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005               # never on the wire: a close frame without a code
    ABNORMAL_CLOSURE = 1006             # never on the wire: no close frame at all
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXT = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TLS_HANDSHAKE_FAILED = 1015         # never on the wire


LOCAL_ONLY_CLOSE_REASONS = (
    CloseReason.NO_STATUS_RCVD, CloseReason.ABNORMAL_CLOSURE, CloseReason.TLS_HANDSHAKE_FAILED)

# Section 7.4.2: whose numbers are they?
MIN_CLOSE_REASON = MIN_PROTOCOL_CLOSE_REASON = 1000
MAX_PROTOCOL_CLOSE_REASON = 2999
MIN_LIBRARY_CLOSE_REASON, MAX_LIBRARY_CLOSE_REASON = 3000, 3999
MIN_PRIVATE_CLOSE_REASON, MAX_PRIVATE_CLOSE_REASON = 4000, 4999
MAX_CLOSE_REASON = MAX_PRIVATE_CLOSE_REASON

# A close frame may carry each of these, and any from MIN_LIBRARY_CLOSE_REASON on.
NAMED = {reason.value: reason for reason in CloseReason if reason not in LOCAL_ONLY_CLOSE_REASONS}

MAX_PAYLOAD_NORMAL = 125                # of a control frame (section 5.5), and what a length of one byte can say
MAX_REASON_BYTES = MAX_PAYLOAD_NORMAL - 2


class ParseFailed(errors.RemoteProtocolError):
    """The peer broke the protocol or a limit: close with `code`."""

    def __init__(self, msg: str, code: CloseReason = CloseReason.PROTOCOL_ERROR) -> None:
        """Keep the code."""
        super().__init__(msg)
        self.code = code


def close_payload(code: int | None, reason: str | None) -> bytes:
    """The body of a close frame. What must not be on the wire becomes nothing (1005) or 1000; a long reason is cut.

    TypeError for a reason without a code; ValueError for a code that two bytes cannot hold.
    """
    if code is CloseReason.NO_STATUS_RCVD:
        code = None
    if code is None:
        if reason:
            raise TypeError("a close reason needs a code")
        return b""
    if code in LOCAL_ONLY_CLOSE_REASONS:
        code = CloseReason.NORMAL_CLOSURE
    if not 0 <= code <= 0xffff:
        raise ValueError(f"close code {code}: two bytes hold 0 to 65535")
    said = (reason or "").encode()
    if len(said) > MAX_REASON_BYTES:
        said = said[:MAX_REASON_BYTES].decode(errors="ignore").encode()     # without the half of a character
    return int(code).to_bytes(2, "big") + said


def read_close_payload(payload: bytes) -> tuple[int, str]:
    """Code and reason of a received close frame; ParseFailed when it must not look so."""
    if not payload:
        return CloseReason.NO_STATUS_RCVD, ""
    if len(payload) == 1:
        raise ParseFailed("a close frame with half a code")
    code = received_code(int.from_bytes(payload[:2], "big"))
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        message = f"the reason of a close frame is no UTF-8: {error}"
        raise ParseFailed(message, CloseReason.INVALID_FRAME_PAYLOAD_DATA) from error


def received_code(code: int) -> int:
    """`code`, by its name where it has one; ParseFailed when no close frame may carry it."""
    if code in NAMED:
        return NAMED[code]
    if MIN_LIBRARY_CLOSE_REASON <= code <= MAX_CLOSE_REASON:
        return code
    raise ParseFailed(f"a close frame with code {code}")
