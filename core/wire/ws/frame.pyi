"""WebSocket frames: how far does the kernel read these bytes?"""
from typing_extensions import Buffer

def scan_frame(data: Buffer, repeat: int = 1) -> int:
    """Bytes of the frame that `data` begins with, head and payload; -2: not whole yet, -1: broken."""
