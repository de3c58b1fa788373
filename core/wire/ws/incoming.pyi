"""What a peer sends: bytes to events. Its methods are C, for connection.pyx."""
from typing_extensions import disjoint_base

@disjoint_base
class Incoming:
    """One direction of a connection."""
