"""Contents on their way out: conditions, one range, a name to save them by, and never as a page of ours."""
from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import quote

from hotpath.core.serve import FileResponse, Request, Response
from hotpath.core.site import part_of
from hotpath.core.tasks import offload
from hotpath.ide.files import OpenFile
from hotpath.ide.files.paths import shown

from .asked import is_known
from .problems import refused

_PLAIN = re.compile(r"[A-Za-z0-9 ._-]+")
OCTETS = "application/octet-stream"
# Should a browser show it after all, it is nobody's page (CSP's sandbox gives it an origin of its own).
INERT = (("Content-Security-Policy", "sandbox; default-src 'none'"), ("Accept-Ranges", "bytes"))


class _Held:
    """An open file that is closed when nobody takes it: whoever asked for it may be gone by then."""

    def __init__(self, file: OpenFile) -> None:
        self._file: OpenFile | None = file

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def taken(self) -> OpenFile:
        """The file; from now on it is the caller's to close."""
        assert self._file is not None
        file, self._file = self._file, None
        return file


def opened(open: Callable[..., OpenFile], *args: object) -> OpenFile:
    """In a task: `open(*args)` in a thread. A client that goes meanwhile leaves no descriptor behind."""
    return offload(lambda: _Held(open(*args))).taken()


def sent(request: Request, file: OpenFile, path: bytes) -> Response:
    """200, 206, 304 or 416; the file's descriptor is taken over."""
    tag = f'"{file.etag}"'
    fields: tuple[tuple[str, str], ...] = (("ETag", tag), ("Cache-Control", "no-cache"), *INERT)
    if is_known(request, file.etag):
        os.close(file.fd)
        return Response(None, 304, fields)
    fields = (("Content-Disposition", disposition(path)), *fields)
    part = None
    if request.method == "GET":
        part = part_of(request.field("range"), request.field("if-range"), (tag,), file.size)
    if part is None:
        return FileResponse(file.fd, 0, file.size, 200, fields, OCTETS)
    start, stop = part
    if start >= stop:
        os.close(file.fd)
        return refused(416, "range-not-satisfiable", f"the file has {file.size} bytes",
                       headers=(("Content-Range", f"bytes */{file.size}"),))
    fields = (*fields, ("Content-Range", f"bytes {start}-{stop - 1}/{file.size}"))
    return FileResponse(file.fd, start, stop - start, 206, fields, OCTETS)


def disposition(path: bytes, suffix: str = "") -> str:
    """`attachment` with the path's last name (RFC 6266, RFC 8187)."""
    name = shown(path.rpartition(b"/")[2]) + suffix
    if _PLAIN.fullmatch(name):
        return f'attachment; filename="{name}"'
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
