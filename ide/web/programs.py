"""What runs in a project: terminals, Run, packages, ports."""
from __future__ import annotations

from typing import Annotated

import msgspec

from hotpath.core.serve import Request, Response
from hotpath.ide.errors import NotFound
from hotpath.ide.terminal import Terminal

from .asked import body_of, has_body
from .routes import Routes, whole

Size = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Sized(msgspec.Struct, forbid_unknown_fields=True):
    """How large the page's terminal is."""

    cols: Size = 80
    rows: Size = 24


class Run(Sized, forbid_unknown_fields=True):
    """What to run, instead of what Run runs."""

    command: str | None = None


class Packages(Sized, forbid_unknown_fields=True):
    """What to install."""

    add: list[str] = []


class Programs:
    """The handlers."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        routes.of_project("GET", "/terminals", self.terminals)
        routes.of_project("POST", "/terminals", self.shell)
        routes.of_project("DELETE", "/terminals/{terminal}", self.close)
        routes.of_project("POST", "/run", self.run)
        routes.of_project("POST", "/packages", self.install)
        routes.of_project("GET", "/ports", self.ports)

    def terminals(self, request: Request, id: str) -> Response:
        """200; oldest first."""
        return Response.json({"terminals": self._routes.workspace.get(id).terminals.json()})

    def shell(self, request: Request, id: str) -> Response:
        """201; 409 when the project does not run, 422 for a size that is none, 429."""
        project = self._routes.used(id)
        given = body_of(request, Sized) if has_body(request) else Sized()
        return made(whole(project.shell, given.cols, given.rows))

    def close(self, request: Request, id: str, terminal: str) -> Response:
        """204: what ran in it has ended. 404."""
        project = self._routes.used(id)
        if project.terminals.get(terminal) is None:
            raise NotFound("there is no such terminal")
        whole(project.terminals.close, terminal)
        return Response(None, 204)

    def run(self, request: Request, id: str) -> Response:
        """201; an earlier run has ended. 409, 422."""
        project = self._routes.used(id)
        given = body_of(request, Run) if has_body(request) else Run()
        return made(whole(project.run_command, given.command, given.cols, given.rows))

    def install(self, request: Request, id: str) -> Response:
        """201; 422 for what is no package's name."""
        project = self._routes.used(id)
        given = body_of(request, Packages)
        return made(whole(project.install, given.add, given.cols, given.rows))

    def ports(self, request: Request, id: str) -> Response:
        """200; what listens in the project, and where it is seen."""
        return Response.json({"ports": self._routes.workspace.get(id).find_ports()})


def made(terminal: Terminal) -> Response:
    """201 T."""
    return Response.json(terminal.json(), 201)
