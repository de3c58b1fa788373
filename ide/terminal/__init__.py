"""Terminals in the browser: a program's output as bytes with offsets, sent to whoever looks, each byte exactly once.

`ring` keeps the last bytes and knows how far a client has come; `relay` moves them from the program to the seats of its
clients; `socket` is a client's websocket; `terminal.py` and `terminals.py` are what the rest of the IDE sees.
"""
from .socket import SUBPROTOCOL, add_socket_route
from .terminal import Terminal
from .terminals import Terminals

__all__ = ["SUBPROTOCOL", "Terminal", "Terminals", "add_socket_route"]
