"""The page at `/`: the files in `page/`, with a policy that lets nothing else in."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.files import Files

FOLDER = Path(__file__).with_name("page")
HEADERS = (
    ("Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # Asked again each time (the ETag makes that cheap): modules of two versions do not fit together.
    ("Cache-Control", "no-cache"),
)


class Pages:
    """A handler for one file of the page."""

    def __init__(self, files: Files, name: str) -> None:
        """`name` within `files`; empty: the index."""
        self._files = files
        self._name = name

    def __call__(self, request: Request) -> Response:
        """As `Files` answers, with our headers."""
        response = self._files(request, self._name)
        for name, value in HEADERS:
            response.add_header(name, value)
        return response


def paths() -> list[str]:
    """Of the page and each of its files: they show nothing of the cluster."""
    return ["/", *(f"/{path.name}" for path in sorted(FOLDER.iterdir()))]


def routes(app: Router) -> None:
    """Add them; any other path stays unknown."""
    files = Files(str(FOLDER))
    for path in paths():
        app.add("GET", path, Pages(files, path[1:]))
