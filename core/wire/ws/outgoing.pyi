"""What we send: payload to frames. Its methods are C, for connection.pyx."""
from typing_extensions import disjoint_base

@disjoint_base
class Outgoing:
    """One direction of a connection."""
