"""WebSocket: frames and messages in C, and the face of wsproto."""
from __future__ import annotations

from .connection import ConnectionType
from .frame import scan_frame
from .session import WSConnection

__all__ = ["ConnectionType", "WSConnection", "scan_frame"]
