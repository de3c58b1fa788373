"""The service over HTTP: everything that answers, behind one gate."""
from __future__ import annotations

from hotpath.core.serve import Request, Response, Router
from hotpath.core.tasks import offload, sleep
from hotpath.ide.config import IdeConfig
from hotpath.ide.workspace.workspace import Workspace

from .contents import Contents
from .copies import Copies
from .counted import exposed
from .feed import Feed
from .gate import Gate
from .life import Life
from .pages import Pages
from .problems import finish
from .programs import Programs
from .routes import Routes
from .sessions import Sessions
from .signing import Signing

# Uses of sessions are written this often; a crash in between lets one end a little early.
SAVE_S = 60.0


class Api:
    """Adds itself to `app`; `open` comes before the first request."""

    def __init__(self, app: Router, workspace: Workspace, config: IdeConfig) -> None:
        self._sessions = Sessions(config.folder / "sessions.json")
        self.gate = Gate(self._sessions, lets_all_in=config.auth.mode == "none", origins=config.auth.origins,
                         base=config.base, bound=lambda: app.bound)
        routes = Routes(app, workspace, config.base)
        self._signing = Signing(routes, self.gate, self._sessions)
        self._contents = Contents(routes, config)
        Programs(routes)
        Copies(routes)
        self.feed = Feed(routes)
        Life(routes, self.feed.gone)
        Pages(config.preview.host, lambda: workspace.previews.port).add(app, config.base)
        self._workspace = workspace
        app.base = config.base
        app.gate = self._ask
        app.finish = finish
        app.exposed = self._exposed
        app.at_start(self._keep)
        app.at_drain(self.feed.close)

    def open(self, token: str) -> None:
        """In a task: who has this token is let in, and who was signed in with it before."""
        self.gate.token = token
        offload(self._sessions.load, token)

    def _ask(self, request: Request) -> Response | None:
        return self.gate(request)

    def _exposed(self) -> str:
        return exposed(self._workspace, self._contents, self.feed, self._sessions, self._signing)

    def _keep(self) -> None:
        while True:
            sleep(SAVE_S)
            self._signing.save()
