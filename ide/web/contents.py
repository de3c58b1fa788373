"""What is in a project: the tree, files, archives, search, history."""
from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from hotpath.core.serve import Request, Response
from hotpath.core.tasks import offload
from hotpath.ide import search
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import BadRequest, NotFound, TooLarge
from hotpath.ide.files.paths import path_of_query

from .asked import body_of, condition_in, flag_in, match_in, number_in, path_in, query_of, text_of
from .downloads import disposition, opened, sent
from .routes import Routes

MAX_DEPTH = 100
# Of an archive on its way in: what is kept in memory before it is written.
PIECE_BYTES = 1024 * 1024


class Move(msgspec.Struct, forbid_unknown_fields=True):
    """From where to where: percent-encoded, as in `?path=`."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    overwrite: bool = False


class Contents:
    """The handlers."""

    def __init__(self, routes: Routes, config: IdeConfig) -> None:
        self._routes = routes
        self._config = config
        self.saves = 0                  # acknowledged, for metrics
        self.saved_bytes = 0
        limits = config.limits
        for method, path, handler in (
            ("GET", "/tree", self.tree),
            ("GET", "/file", self.read),
            ("DELETE", "/file", self.delete),
            ("POST", "/dir", self.make_dir),
            ("POST", "/move", self.move),
            ("POST", "/copy", self.copy),
            ("GET", "/zip", self.zip),
            ("GET", "/search", self.search),
            ("GET", "/names", self.names),
            ("GET", "/history", self.versions),
            ("GET", "/history/{etag}", self.version),
        ):
            routes.of_project(method, path, handler)
        routes.of_project("PUT", "/file", self.write, max_body=limits.file)
        routes.of_project("POST", "/unzip", self.unzip, max_body=limits.upload)

    def tree(self, request: Request, id: str) -> Response:
        """200; folders first."""
        # Pages read this and files again whenever a program writes: that is nobody's use.
        project = self._routes.workspace.get(id)
        query = query_of(request)
        path, depth = path_in(query), number_in(query, "depth", 1, MAX_DEPTH) or 1
        said = offload(project.files.listing, path, depth)
        # It is shown from now on: looked at again also where watches have run out.
        self._routes.workspace.watcher.rescan(id, path)
        return Response.json(said)

    def read(self, request: Request, id: str) -> Response:
        """200, 206, 304; 404, 409 for what has no contents, 416."""
        project = self._routes.workspace.get(id)
        path = path_in(query_of(request), needed=True)
        return sent(request, opened(project.files.open, path), path)

    def write(self, request: Request, id: str) -> Response:
        """201, 204: it is on disk. 412, 413, 428, 507: it is as it was."""
        project = self._routes.used(id)
        query = query_of(request)
        path, parents = path_in(query, needed=True), flag_in(query, "parents")
        match, create = condition_in(request)
        body = request.body()
        created, etag = offload(project.files.put, path, body, match=match, create=create, parents=parents)
        self.saves += 1
        self.saved_bytes += len(body)
        return Response(None, 201 if created else 204, (("ETag", f'"{etag}"'),))

    def delete(self, request: Request, id: str) -> Response:
        """204; 409 for a folder with something in it, 412."""
        project = self._routes.used(id)
        query = query_of(request)
        path, recursive = path_in(query, needed=True), flag_in(query, "recursive")
        offload(project.files.delete, path, recursive=recursive, match=match_in(request))
        return Response(None, 204)

    def make_dir(self, request: Request, id: str) -> Response:
        """201; 409."""
        project = self._routes.used(id)
        offload(project.files.make_dir, path_in(query_of(request), needed=True))
        return Response(None, 201)

    def move(self, request: Request, id: str) -> Response:
        """204; 409."""
        project = self._routes.used(id)
        source, target, overwrite = move_in(request)
        offload(project.files.move, source, target, overwrite=overwrite)
        return Response(None, 204)

    def copy(self, request: Request, id: str) -> Response:
        """201; 409."""
        project = self._routes.used(id)
        source, target, overwrite = move_in(request)
        offload(project.files.copy, source, target, overwrite=overwrite)
        return Response(None, 201)

    def zip(self, request: Request, id: str) -> Response:
        """200, piece by piece; 404, 409."""
        project = self._routes.used(id)
        query = query_of(request)
        path = path_in(query)
        pieces = Pieces(project.files.zip(path, all=flag_in(query, "all")))
        name = disposition(path or project.name.encode(errors="replace").replace(b"/", b"_"), ".zip")
        return Response(pieces, 200, (("Content-Disposition", name),), "application/zip")

    def unzip(self, request: Request, id: str) -> Response:
        """200: all of it is there; 413, 422, 507: nothing of it."""
        project = self._routes.used(id)
        path = path_in(query_of(request))
        with tempfile.TemporaryFile(dir=project.folder / "tmp") as archive:
            received(request, archive, self._config.limits.upload)
            return Response.json(offload(project.files.unzip, path, archive))

    def search(self, request: Request, id: str) -> Response:
        """200; 400 for no text or too much, 422 for a bad pattern, and for one that takes too long."""
        project = self._routes.used(id)
        query = query_of(request)
        wanted = search.Query(text_of(query.get("q", ""), "q"), regex=flag_in(query, "regex"),
                              case=flag_in(query, "case"), word=flag_in(query, "word"), path=path_in(query))
        return Response.json(offload(search.find, project.root, wanted, project.ignore, self._config.limits))

    def names(self, request: Request, id: str) -> Response:
        """200; of all files, for quick open."""
        project = self._routes.used(id)
        return Response.json(offload(search.names, project.root, project.ignore, self._config.limits.tree))

    def versions(self, request: Request, id: str) -> Response:
        """200; also of a file that is not there any more."""
        project = self._routes.used(id)
        path = path_in(query_of(request), needed=True)
        return Response.json({"versions": offload(project.files.history, path)})

    def version(self, request: Request, id: str, etag: str) -> Response:
        """200, 206, 304; 404."""
        project = self._routes.used(id)
        path = path_in(query_of(request), needed=True)
        if len(etag) != 32 or etag.strip("0123456789abcdef"):
            raise NotFound("there is no such version")
        return sent(request, opened(project.files.history_open, path, etag), path)


class Pieces:
    """An iterator that blocks, asked in a thread piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """The first piece is made now: what it refuses can still be answered."""
        self._pieces = pieces
        self._first: bytes | None = offload(next, pieces, None)

    def __iter__(self) -> Iterator[bytes]:
        piece = self._first
        while piece is not None:
            yield piece
            piece = offload(next, self._pieces, None)


def move_in(request: Request) -> tuple[bytes, bytes, bool]:
    """The body of a move or a copy. Raises BadPath."""
    given = body_of(request, Move)
    source, target = path_of_query(given.source), path_of_query(given.target)
    if not source or not target:
        raise BadRequest("the project's own folder is not moved or copied; allowed: what is in it")
    return source, target, given.overwrite


def received(request: Request, file: BinaryIO, most: int) -> None:
    """Write the body to the file, and go back to its beginning. Raises TooLarge."""
    waiting: list[bytes] = []
    n_waiting = total = 0
    for piece in request.stream():
        total += len(piece)
        if total > most:
            raise TooLarge(f"the archive is larger than {most} bytes (limits.upload)")
        waiting.append(piece)
        n_waiting += len(piece)
        if n_waiting >= PIECE_BYTES:
            offload(file.write, b"".join(waiting))
            waiting, n_waiting = [], 0
    offload(file.write, b"".join(waiting))
    file.seek(0)
