"""The other end of a stream, in the stream tests."""
import random
import socket
import struct
import threading

MANY = 3_000_000        # bytes: more than the kernel keeps for both ends of `pair`


def pattern(size, seed=0):
    return random.Random(seed).randbytes(size)


def read_all(peer):
    """Everything until the end of the stream, in another thread; join, then look at `.data`."""
    class Reader(threading.Thread):
        data = b""

        def run(self):
            pieces = []
            while piece := peer.recv(65536):
                pieces.append(piece)
            self.data = b"".join(pieces)

    reader = Reader()
    reader.start()
    return reader


def reset_on_close(sock):
    """Closing it sends a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_and_join(peer):
    reader = read_all(peer)
    reader.join()
    return reader.data
