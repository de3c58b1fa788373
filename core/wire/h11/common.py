"""What h11's other modules share, under one name: only for `h11._util`, where servers look for it."""
from hotpath.core.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

from .headers import bytesify
from .sentinels import Sentinel

__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError", "Sentinel", "bytesify"]
