"""The page: `/`, `/c/ID`, files under `/page/` and `/kit/`, with a policy that lets nothing else in."""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers

from hotpath.core.serve.pages import KIT
from hotpath.core.site import Site, Wanted

from .problems import Refusal
from .service import Service
from .sessions import COOKIE

FOLDER = Path(__file__).parents[1] / "page"

FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    # Asked again each time (the ETag makes that cheap): modules of two versions do not fit together.
    ("Cache-Control", "no-cache"),
)


def blueprint(service: Service, folder: Path = FOLDER) -> Blueprint:
    """The routes of the page's files."""
    pages = Blueprint("pages", __name__)
    site, kit = Site(str(folder)), Site(str(KIT))
    # Addresses in it are relative, as it works behind any prefix.
    text = (folder / "index.html").read_bytes()
    below = re.sub(rb'((?:href|src)=")(?=(?:page|kit)/)', rb"\1../", text)

    @pages.get("/")
    def index() -> Response:
        return _index(text, service)

    @pages.get("/c/<id:channel>")
    def channel(channel: int) -> Response:
        return _index(below, service)

    @pages.get("/page/<path:name>")
    def file(name: str) -> Response:
        return _file(site, name, service)

    @pages.get("/kit/<path:name>")
    def kit_file(name: str) -> Response:
        return _file(kit, name, service)

    return pages


def policy(gateways: Iterable[str]) -> str:
    """The Content-Security-Policy; `gateways`: the URLs where sockets may go."""
    sources = {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, gateways)}
    # None known yet: the page must not be locked out of those to come.
    sockets = " ".join(sorted(sources)) or "ws: wss:"
    return ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {sockets}; font-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'")


def _index(text: bytes, service: Service) -> Response:
    """The page itself; to whom sends no session it says so, and needs not ask and be refused to know it."""
    if not request.cookies.get(COOKIE):
        text = text.replace(b"<html ", b'<html data-session="no" ', 1)
    response = Response(text, content_type="text/html; charset=utf-8", headers=[*FIELDS])
    response.headers["Content-Security-Policy"] = policy(service.gateway_urls())
    response.headers["Vary"] = "Cookie"
    response.add_etag()
    response.make_conditional(request)
    return response


def _file(site: Site, name: str, service: Service) -> Response:
    if any(part.startswith(".") for part in name.split("/")):
        raise Refusal(404, "no such file")
    asked = request.headers
    # WSGI has the path as Latin-1 spelled; here it is text again, and a file's name is bytes.
    found = site.find(b"/" + name.replace("%", "%25").encode(), Wanted(
        range=asked.get("Range") if request.method == "GET" else None, if_range=asked.get("If-Range"),
        if_none_match=asked.get("If-None-Match"), if_modified_since=asked.get("If-Modified-Since")))
    if found.status in (301, 404):
        raise Refusal(404, "no such file")
    if found.status == 416:
        raise Refusal(416, "the file has no such part")
    data = b""
    if found.fd >= 0:
        with os.fdopen(found.fd, "rb") as file:
            data = os.pread(file.fileno(), found.size, found.offset)
    fields = Headers([*found.fields, *FIELDS])
    fields["Content-Security-Policy"] = policy(service.gateway_urls())
    return Response(data, found.status, fields)
