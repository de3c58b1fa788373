"""A connection into a container whose network we may not enter: a program in there makes it, and we carry the bytes."""
from __future__ import annotations

import socket
import struct
from contextlib import suppress

from hotpath.core.tasks import spawn
from hotpath.ide.sandbox.dialling import LOOPBACK

from .engine import Hijacked
from .program import ATTACHED, Place, create
from .readiness import receive, send

CHUNK = 65536
STDOUT = 1

# It ends when the listener closes, and some time after we do. socat tells later than Python that the listener closed.
_DIAL = r"""
command -v python3 > /dev/null || case $2 in
    *:*) exec socat -t 2 - "TCP6:[$2]:$1" ;;
    *) exec socat -t 2 - "TCP4:$2:$1" ;;
esac
exec python3 -I -c '
import os, socket, sys, threading
peer = socket.create_connection((sys.argv[2], int(sys.argv[1])))
def up():
    while data := os.read(0, 65536):
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    threading.Event().wait(30)
    os._exit(0)
threading.Thread(target=up, daemon=True).start()
while data := peer.recv(65536):
    while data:
        data = data[os.write(1, data):]
os._exit(0)
' "$1" "$2"
"""


def relayed(place: Place, port: int, family: socket.AddressFamily) -> int:
    """In a task: a descriptor that behaves as a connection to that port. Raises OSError or Refused."""
    id = create(place, ["sh", "-c", _DIAL, "sh", str(port), LOOPBACK[family]], **ATTACHED)
    stream = place.engine.hijack(f"/exec/{id}/start", {"Detach": False, "Tty": False})
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    spawn(_carry, ours, stream, name="docker relay")
    return theirs.detach()


def _carry(ours: socket.socket, stream: Hijacked) -> None:
    # One descriptor is waited for by one task.
    with ours, stream.sock, ours.dup() as source, stream.sock.dup() as sink:
        up = spawn(_up, source, sink, name="docker relay up")
        try:
            with suppress(OSError):
                _down(stream, ours)
                ours.shutdown(socket.SHUT_WR)
        finally:
            up.cancel()
            up.join()


def _up(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := receive(source, CHUNK):
            send(sink, data)
        sink.shutdown(socket.SHUT_WR)


def _down(stream: Hijacked, ours: socket.socket) -> None:
    """Without a terminal, the engine says before each piece which of its two outputs it is of."""
    said = stream.early
    while True:
        while len(said) < 8:
            if not (piece := receive(stream.sock, CHUNK)):
                return
            said += piece
        kind, size = struct.unpack(">BxxxI", said[:8])
        said = said[8:]
        while size:
            if not said and not (said := receive(stream.sock, CHUNK)):
                return
            if kind == STDOUT:
                send(ours, said[:size])
            size, said = size - len(said[:size]), said[size:]
