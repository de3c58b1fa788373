"""What a terminal would show."""
from __future__ import annotations

import io

from rich.console import Console, RenderableType


def terminal(width: int = 120) -> tuple[Console, io.StringIO]:
    """A console that believes to be one, and what it wrote."""
    written = io.StringIO()
    return Console(file=written, force_terminal=True, color_system=None, width=width, highlight=False,
                   legacy_windows=False), written


def plain(width: int = 200) -> tuple[Console, io.StringIO]:
    """A console that leads into a file."""
    written = io.StringIO()
    return Console(file=written, force_terminal=False, width=width, highlight=False), written


def drawn(what: RenderableType, width: int = 120) -> str:
    """The text of it."""
    console, written = plain(width)
    console.print(what)
    return written.getvalue()
