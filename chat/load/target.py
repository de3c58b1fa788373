"""Where a server is: of a URL, its host, port and path."""
from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """A host and a port, and the path on it."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str, scheme: str) -> Target:
        """Of `SCHEME://HOST[:PORT][/PATH]`. Raises ValueError: what is allowed."""
        parts = urlsplit(url)
        if parts.scheme != scheme or not parts.hostname or "@" in parts.netloc:
            raise ValueError(f"{url!r} is not allowed; allowed: {scheme}://HOST:PORT")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.hostname, parts.port or 80, (parts.path or "/") + query)

    @property
    def authority(self) -> str:
        """As a Host field has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
