"""How far is a connection, and which side of it are we?"""
from __future__ import annotations

from enum import Enum


class ConnectionState(Enum):
    """How far a connection is (RFC 6455 sections 4 and 7)."""

    CONNECTING = 0      # the opening handshake goes on
    OPEN = 1
    REMOTE_CLOSING = 2  # the peer has sent a close frame, we have not
    LOCAL_CLOSING = 3   # we have, the peer has not
    CLOSED = 4          # both have, or the connection is gone
    REJECTING = 5       # the opening handshake failed; the rest of its answer is on the way


class ConnectionType(Enum):
    """Which side of it are we?"""

    CLIENT = 1
    SERVER = 2


CLIENT = ConnectionType.CLIENT
SERVER = ConnectionType.SERVER
