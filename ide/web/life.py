"""Projects come, go, start and stop."""
from __future__ import annotations

from collections.abc import Callable

import msgspec

from hotpath.core.serve import Request, Response
from hotpath.ide.errors import Invalid

from .asked import body_of, flag_in, query_of
from .routes import Routes, whole


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """What to make."""

    name: str
    template: str
    start: bool = True


class Changes(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of a project."""

    name: str | None = None
    run: str | None = None
    keep_running: bool | None = None


class Life:
    """The handlers."""

    def __init__(self, routes: Routes, gone: Callable[[str], None]) -> None:
        """`gone` is told of each project that was deleted."""
        self._gone = gone
        self._routes = routes
        self._workspace = routes.workspace
        routes.add("GET", "/api/templates", self.templates)
        routes.add("GET", "/api/projects", self.projects)
        routes.add("POST", "/api/projects", self.create)
        routes.of_project("GET", "", self.show)
        routes.of_project("PATCH", "", self.change)
        routes.of_project("DELETE", "", self.delete)
        routes.of_project("POST", "/undelete", self.undelete)
        routes.of_project("POST", "/start", self.start)
        routes.of_project("POST", "/stop", self.stop)
        routes.of_project("POST", "/restart", self.restart)

    def templates(self, request: Request) -> Response:
        """200; what a project may begin with, and what is missing for it."""
        return Response.json({"templates": self._workspace.templates()})

    def projects(self, request: Request) -> Response:
        """200; last opened first."""
        return Response.json({"projects": [project.json() for project in self._workspace.projects()]})

    def create(self, request: Request) -> Response:
        """201, also when its sandbox did not start: its state says so. 409, 422, 429."""
        given = body_of(request, NewProject)
        project = whole(self._workspace.create, given.name, given.template, given.start)
        return Response.json(project.json(), 201, self._routes.location(project))

    def show(self, request: Request, id: str) -> Response:
        """200."""
        return Response.json(self._workspace.get(id).json())

    def change(self, request: Request, id: str) -> Response:
        """200; 409 for a name that is taken, 422."""
        project = self._routes.used(id)
        given = body_of(request, Changes)
        if given.name is None and given.run is None and given.keep_running is None:
            raise Invalid("nothing to change; allowed: name, run, keep_running")
        whole(project.change, given.name, given.run, given.keep_running)
        return Response.json(project.json())

    def delete(self, request: Request, id: str) -> Response:
        """204; with `purge=1` for good."""
        whole(self._delete, id, flag_in(query_of(request), "purge"))
        return Response(None, 204)

    def _delete(self, id: str, purge: bool) -> None:
        """To its end, also when the client goes: its pages must hear of it."""
        self._workspace.delete(id, purge)
        self._gone(id)

    def undelete(self, request: Request, id: str) -> Response:
        """200; 404 when it is not in the trash any more."""
        return Response.json(whole(self._workspace.undelete, id).json())

    def start(self, request: Request, id: str) -> Response:
        """200 once it runs; 503."""
        project = self._routes.used(id)
        project.start()
        return Response.json(project.json())

    def stop(self, request: Request, id: str) -> Response:
        """200 once nothing of it runs."""
        project = self._workspace.get(id)
        project.stop()
        return Response.json(project.json())

    def restart(self, request: Request, id: str) -> Response:
        """200 once it runs again; 503."""
        project = self._routes.used(id)
        project.restart()
        return Response.json(project.json())
