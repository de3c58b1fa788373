"""The server as an application: what each worker opens, starts and stops, and in which order."""
from __future__ import annotations

from pathlib import Path

from hotpath.core.serve import Router
from hotpath.core.serve.door import guard
from hotpath.core.serve.pages import add_page
from hotpath.core.tasks import offload, use_threads
from hotpath.locking.config import LockingConfig

from .counters import Counters
from .counts import Counts
from .database import Database, prepare
from .items import Items
from .locks import Locks
from .plays import Plays
from .study import add_study

PAGE = Path(__file__).parents[1] / "page"


class Service:
    """In the master a plan; in each worker connections, and threads that wait for them."""

    def __init__(self, config: LockingConfig, counts: Counts) -> None:
        """`counts`: shared by all workers."""
        self._config = config
        self._counts = counts
        self._database = Database(config, counts)
        self._plays = Plays(config.database)

    def app(self) -> Router:
        """Its routes and hooks."""
        app = Router()
        add_page(app, PAGE)
        add_study(app)
        shown = [route.pattern for route in app.routes]
        Items(self._database).routes(app)
        Locks(self._database).routes(app)
        Counters(self._database).routes(app)
        self._plays.routes(app)
        app.guard = guard(self._config.secret, shown, realm="hotpath-locking")
        app.ready = self._database.trouble
        app.exposed = self._counts.text
        app.at_open(self._open)
        app.at_stop(self._stop)
        return app

    def _open(self) -> None:
        use_threads(self._database.threads)
        if self._config.user is not None:
            offload(prepare, self._config)
        self._database.open()
        self._plays.open()

    def _stop(self) -> None:
        self._plays.close()
        self._database.close()
