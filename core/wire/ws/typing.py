"""Headers, as wsproto names their type: pairs of name and value."""
from __future__ import annotations

Headers = list[tuple[bytes, bytes]]
