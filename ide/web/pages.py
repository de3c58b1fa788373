"""The page's own files: two shells and what they load, with a policy that lets nothing else in."""
from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.pages import KIT

from .asked import is_known
from .problems import refused

FOLDER = Path(__file__).parents[1] / "page"
HOME, PROJECT = "index.html", "project.html"
SHELLS = (HOME, PROJECT)

FOR_EVER = "public, max-age=31536000, immutable"
# Asked again each time (the ETag makes that cheap): modules of two versions do not fit together.
ASK_AGAIN = "no-cache"
# A hash of its contents is in its name: what is at this address never changes.
_HASHED = re.compile(r"(?:^|/)vendor/(?:.*[-.])(?:[0-9a-f]{8,64}|[0-9A-Z]{8})\.[a-z0-9.]+$")
_TEXT = ("text/", "application/json")
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent; `packed` None: it would not get smaller."""

    kind: str
    data: bytes
    tag: str
    packed: bytes | None
    cache: str


class Pages:
    """The handlers. All files are read once, at the start: there is no path that leads elsewhere."""

    def __init__(self, host: str, port: Callable[[], int], folder: Path = FOLDER) -> None:
        """`host`: of previews, with {key}; `port`: where they are, asked once that is known."""
        self._files = {
            **{path.relative_to(folder).as_posix(): read(path, folder)
               for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".gz"},
            **{f"kit/{path.name}": read(path, KIT) for path in sorted(KIT.iterdir())}}
        self._host = host
        self._port = port

    def add(self, app: Router, base: str) -> None:
        """Add the routes; `base` is empty, or /NAME."""
        app.add("GET", f"{base}/", self.home)
        app.add("GET", f"{base}/p/{{id}}", self.project)
        app.add("GET", f"{base}/static/{{rest:path}}", self.static)
        if base:
            def aside(request: Request) -> Response:
                query = request.query_string
                return Response(None, 308, (("Location", f"{base}/" + (f"?{query}" if query else "")),))

            app.add("GET", base, aside)

    def home(self, request: Request) -> Response:
        """The shell of the list of projects."""
        return self._sent(request, HOME, self._shell())

    def project(self, request: Request, id: str) -> Response:
        """The shell of a project, be there one or not: it is empty."""
        return self._sent(request, PROJECT, self._shell())

    def static(self, request: Request, rest: str) -> Response:
        """200, 304, 404."""
        return self._sent(request, rest if rest not in SHELLS else "", ())

    def _shell(self) -> tuple[tuple[str, str], ...]:
        return (
            ("Content-Security-Policy", policy(self._host, self._port())),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("X-Frame-Options", "DENY"),
        )

    def _sent(self, request: Request, name: str, more: tuple[tuple[str, str], ...]) -> Response:
        file = self._files.get(name)
        if file is None:
            return refused(404, "not-found", "no such file")
        packed = file.packed if file.packed is not None and accepts_gzip(request) else None
        tag = file.tag if packed is None else f"{file.tag}-gzip"
        fields = (("ETag", f'"{tag}"'), ("Cache-Control", file.cache), *more)
        if file.packed is not None:
            fields = (*fields, ("Vary", "Accept-Encoding"))
        if is_known(request, tag):
            return Response(None, 304, fields)
        if packed is not None:
            return Response(packed, 200, (*fields, ("Content-Encoding", "gzip")), file.kind)
        return Response(file.data, 200, fields, file.kind)


def read(path: Path, folder: Path) -> File:
    """The file, and the `.gz` beside it, which is its own compression; text that has none is compressed once, here."""
    data = path.read_bytes()
    beside = path.with_name(f"{path.name}.gz")
    packed = beside.read_bytes() if beside.is_file() else None
    if packed is not None and gzip.decompress(packed) != data:
        raise ValueError(f"{beside.relative_to(folder)} is not {path.name}; make it again")
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith(_TEXT):
        kind = f"{kind}; charset=utf-8"
        packed = packed or gzip.compress(data, 9, mtime=0)
    if packed is not None and len(packed) >= len(data):
        packed = None
    name = path.relative_to(folder).as_posix()
    tag = hashlib.blake2b(data, digest_size=16).hexdigest()
    return File(kind, data, tag, packed, FOR_EVER if _HASHED.search(name) else ASK_AGAIN)


def accepts_gzip(request: Request) -> bool:
    """Whether Accept-Encoding names gzip, and does not refuse it (RFC 9110 section 12.5.3)."""
    for part in (request.field("accept-encoding") or "").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == "gzip":
            return not any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return False


def policy(host: str, port: int) -> str:
    """What a shell may load: our own files, and previews in frames."""
    host = host.replace("{key}", "*")
    return (f"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            f"connect-src 'self'; frame-src http://{host}:{port} https://{host}:{port}; worker-src 'self'; "
            f"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
