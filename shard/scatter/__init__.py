"""What takes more than one shard to answer: lists, aggregates, many keys at once."""
from .bulk import Bulk, Failure
from .lanes import Lanes
from .listing import Page, scanned
from .scatter import Scatter

__all__ = ["Bulk", "Failure", "Lanes", "Page", "Scatter", "scanned"]
