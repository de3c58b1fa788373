"""Backups: made on request, listed, taken up as new projects."""
from __future__ import annotations

from hotpath.core.serve import Request, Response
from hotpath.core.tasks import offload

from .routes import Routes, whole


class Copies:
    """The handlers; 409 `no-backup-configured` and 503 for each."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        routes.of_project("GET", "/backups", self.backups)
        routes.of_project("POST", "/backups", self.back_up)
        routes.of_project("POST", "/backups/{seq:int}/restore", self.restore)

    def backups(self, request: Request, id: str) -> Response:
        """200."""
        project = self._routes.workspace.get(id)
        return Response.json({"backups": offload(self._routes.workspace.backups.list, project.id)})

    def back_up(self, request: Request, id: str) -> Response:
        """201: it is in the store."""
        return Response.json(whole(self._routes.used(id).backup), 201)

    def restore(self, request: Request, id: str, seq: int) -> Response:
        """201; a new project. 404."""
        workspace = self._routes.workspace
        project = workspace.restore(workspace.get(id).id, seq)
        return Response.json(project.json(), 201, self._routes.location(project))
