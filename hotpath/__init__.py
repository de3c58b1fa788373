"""Six classic systems on one small hand-written Cython core."""

__version__ = "0.1.0"
