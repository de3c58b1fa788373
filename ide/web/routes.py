"""Adds routes below the base path, each with its refusals as answers."""
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from hotpath.core.serve import Response, Router
from hotpath.core.tasks import spawn
from hotpath.ide.errors import NoRoom, NotFound
from hotpath.ide.workspace.project import Project
from hotpath.ide.workspace.workspace import Workspace

from .asked import MAX_BODY
from .problems import no_room, refusing

PROJECT = "/api/projects/{id}"


P = ParamSpec("P")
T = TypeVar("T")


def whole(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(…)` in a task of its own: a client that goes away does not leave it half-way."""
    return spawn(lambda: function(*args, **kwargs), name=f"ide {function.__name__}").result()


class Routes:
    """What the parts of the API add themselves to."""

    def __init__(self, app: Router, workspace: Workspace, base: str) -> None:
        """`base`: empty, or /NAME."""
        self.app = app
        self.workspace = workspace
        self.base = base

    def add(self, method: str, path: str, handler: Callable[..., Response], *, max_body: int = MAX_BODY) -> None:
        """A route of the server."""
        self.app.add(method, self.base + path, refusing(handler), max_body=max_body)

    def of_project(self, method: str, path: str, handler: Callable[..., Response], *, max_body: int = MAX_BODY) -> None:
        """A route of one project: below its own."""
        self.add(method, PROJECT + path, self._noticed(handler), max_body=max_body)

    def _noticed(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        """The handler; that no room is left, all pages of the project hear, and not only the one that asked."""

        @wraps(handler)
        def noticed(*given: object, id: str, **values: object) -> Response:
            try:
                return handler(*given, id=id, **values)
            except (NoRoom, OSError) as error:
                room = no_room(error)
                if room is None:
                    raise
                with suppress(NotFound):        # deleted meanwhile
                    self.workspace.get(id).notice(room.detail)
                raise room from error

        return noticed

    def used(self, id: str) -> Project:
        """The project, which somebody uses. Raises NotFound."""
        project = self.workspace.get(id)
        project.touch()
        return project

    def location(self, project: Project) -> tuple[tuple[str, str], ...]:
        """Where it is, for a 201."""
        return (("Location", f"{self.base}/api/projects/{project.id}"),)
