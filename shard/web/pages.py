"""The page at `/`: the files in `page/`, with a policy that lets nothing else in."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.serve import Router
from hotpath.core.serve.pages import add_page

FOLDER = Path(__file__).with_name("page")


def routes(app: Router) -> list[str]:
    """Add `/`, each file of the page and of the kit; any other path stays unknown. Their paths: they show no data."""
    return add_page(app, FOLDER)
