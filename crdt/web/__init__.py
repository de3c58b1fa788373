"""A replica over HTTP: keys, batches, listings, changes, replication, the page."""
from .api import add_routes

__all__ = ["add_routes"]
