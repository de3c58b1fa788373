"""Static files under a route."""
from __future__ import annotations

from urllib.parse import quote

from hotpath.core.site import Site, Wanted

from .problem import problem
from .request import Request
from .response import FileResponse, Response


class Files:
    """A handler for `{rest:path}`: the files below one folder, with ranges and conditions; nothing outside of it.

    What begins with a dot is not there, unless `hidden`; `/.well-known/` (RFC 8615) is.
    """

    def __init__(
        self, folder: str, *, index: str = "index.html", fallback: str | None = None, hidden: bool = False
    ) -> None:
        """`index` answers for a folder, `fallback` for what is not there."""
        self._site = Site(folder, index=index, fallback=fallback)
        self._hidden = hidden

    def __call__(self, request: Request, rest: str) -> Response:
        """200, 206, 301, 304, 404 or 416."""
        if not self._hidden and any(part.startswith(".") and part != ".well-known" for part in rest.split("/")):
            return problem(404, detail="no such file")
        headers = request.headers
        # Range is for GET alone (RFC 9110 section 14.2).
        found = self._site.find(b"/" + quote(rest).encode(), Wanted(
            range=headers.get("range") if request.method == "GET" else None,
            if_range=headers.get("if-range"), if_none_match=headers.get("if-none-match"),
            if_modified_since=headers.get("if-modified-since")))
        if found.status == 404:
            return problem(404, detail="no such file")
        if found.status == 416:
            return problem(416, detail="the file has no such part", headers=found.fields)
        if found.status == 301:
            # "//x" would name the host x (RFC 3986 section 4.2).
            path = "/" + request.raw_path.lstrip("/") + "/"
            query = request.query_string
            return Response(None, 301, (("Location", f"{path}?{query}" if query else path),))
        if found.fd < 0:
            return Response(None, found.status, found.fields)
        return FileResponse(found.fd, found.offset, found.size, found.status, found.fields)
