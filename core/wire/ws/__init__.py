"""WebSocket: frames and messages in C, and the face of wsproto."""
from .frame import scan_frame

__all__ = ["scan_frame"]
