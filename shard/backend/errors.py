"""What a backend refuses; the text says who must act."""
from __future__ import annotations

from hotpath.core.errors import HotpathError


class CannotStart(HotpathError):
    """The operator must act: a server, or what it needs, is missing or does not get well."""


class Busy(CannotStart):
    """Somebody else has been starting or stopping servers of this cluster for long. It passes."""


class Taken(HotpathError):
    """The operator must act: a name, directory or port that we would use is somebody else's. Nothing was touched."""
