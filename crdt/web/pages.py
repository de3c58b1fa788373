"""The page at `/`: the files in `page/`, with a policy that lets nothing else in."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.serve import Router
from hotpath.core.serve.pages import add_page

FOLDER = Path(__file__).with_name("page")
# The members are wherever /members says, also those that join while the page is open.
CONNECT = ("http:", "https:")


def routes(app: Router) -> None:
    """Add `/` and each file of the page; any other path stays unknown, whatever its method."""
    add_page(app, FOLDER, connect=CONNECT)
