"""A system's page at `/`, what every page shares at `/kit/`, and a policy that lets nothing else in."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import Files
from .request import Request
from .response import Response
from .router import Router

KIT = Path(__file__).parents[1] / "page"
_SELF = "'self'"


def policy(connect: Sequence[str] = ()) -> str:
    """The Content-Security-Policy for a page that talks to its own server, and to the sources in `connect`."""
    return ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src {' '.join((_SELF, *connect))}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def headers(connect: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """What goes with each file of a page."""
    return (
        ("Content-Security-Policy", policy(connect)),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        # Asked again each time (the ETag makes that cheap): modules of two versions do not fit together.
        ("Cache-Control", "no-cache"),
    )


def picture_headers() -> tuple[tuple[str, str], ...]:
    """What goes with an SVG: opened by itself, it has its own styles in it, and may do nothing else."""
    alone = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    return (("Content-Security-Policy", alone), *headers()[1:])


def add_page(app: Router, folder: Path, *, connect: Sequence[str] = ()) -> list[str]:
    """Add `/`, each file in `folder`, and `/kit/NAME`; any other path stays unknown, whatever its method.

    What was added: paths that show no data, so that whoever guards the others can leave these open.
    """
    fields = headers(connect)
    added = {"/": _Page(Files(str(folder)), "", fields)}
    for root, prefix in ((folder, ""), (KIT, "kit/")):
        files = Files(str(root))
        for name in sorted(path.name for path in root.iterdir()):
            added[f"/{prefix}{name}"] = _Page(files, name, fields)
    for path, page in added.items():
        app.add("GET", path, page)
    return list(added)


class _Page:
    """A handler for one file."""

    def __init__(self, files: Files, name: str, fields: Sequence[tuple[str, str]]) -> None:
        """`name` within `files`; empty: the index."""
        self._files = files
        self._name = name
        self._fields = fields

    def __call__(self, request: Request) -> Response:
        response = self._files(request, self._name)
        for name, value in self._fields:
            response.add_header(name, value)
        return response
