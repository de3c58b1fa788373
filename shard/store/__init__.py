"""The single-key protocol: insert, get, put, update and delete of one row on the shard it belongs to."""
from .store import Store

__all__ = ["Store"]
