"""The meta database: the map, what is about to change it, and who is about."""
from .meta import Facts, Meta, RouterSeen, State

__all__ = ["Facts", "Meta", "RouterSeen", "State"]
