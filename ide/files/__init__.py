"""The files of a project: confined by the kernel, saved by exchange, with a history."""
from .files import Files
from .reading import OpenFile

__all__ = ["Files", "OpenFile"]
