"""The page at `/`: the files in `page/`, with a policy that lets nothing else in."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.files import Files

FOLDER = Path(__file__).with_name("page")
HEADERS = (
    # The members are wherever /members says, also those that join while the page is open.
    ("Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' http: https:; "
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


def routes(app: Router) -> None:
    """Add `/` and each file of the page; any other path stays unknown, whatever its method."""
    files = Files(str(FOLDER))
    for name in ("", *sorted(path.name for path in FOLDER.iterdir())):
        app.add("GET", f"/{name}", Pages(files, name))
