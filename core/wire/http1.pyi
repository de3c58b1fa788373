"""HTTP/1.1 for Python: how far do the kernels of head.pyx read these bytes?"""
from typing_extensions import Buffer

def scan_request(data: Buffer, strict: bool = True, repeat: int = 1) -> int:
    """Bytes of the request head that `data` begins with; -2: not whole yet, -1: broken."""

def scan_response(data: Buffer, strict: bool = True, repeat: int = 1) -> int:
    """As scan_request, for the head of a response to a GET."""
