"""Programs of a project that listen, seen in a browser: each on an origin of its own."""
from hotpath.ide.preview.previews import Previews

__all__ = ["Previews"]
