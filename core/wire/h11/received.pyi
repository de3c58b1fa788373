"""Bytes that have arrived and were not read yet: copied only if they come in pieces."""
from typing_extensions import disjoint_base

@disjoint_base
class Received:
    """Grows at its end, is read from its start. Nothing of it is for Python."""
