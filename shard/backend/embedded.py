"""Shards without servers: one SQLite file each."""
from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path

from hotpath.shard.config import META_NAME, ShardConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.engine.sqlite import create

from . import Server
from .errors import CannotStart, Taken
from .folder import Folder
from .waiting import PATIENCE_S, after

# What SQLite puts beside a database.
BESIDE = ("-wal", "-shm", "-journal")
FENCE = "_hp_fence"


class Embedded:
    """DATA/NAME.db for each shard, DATA/meta.db for the map."""

    def __init__(self, config: ShardConfig) -> None:
        self._folder = Folder(Path(config.data).absolute(), config.cluster, "embedded")
        self._meta = Endpoint.parse(config.meta) if config.meta is not None else None

    def exclusive(self, deadline_s: float) -> AbstractContextManager[object]:
        """See Backend."""
        return self._folder.exclusive(deadline_s)

    def begun(self) -> bool:
        """See Backend."""
        return self._folder.is_ours

    def up(self, names: tuple[str, ...], deadline_s: float) -> dict[str, Endpoint]:
        """Check that what stands there is ours, and make empty databases of the rest."""
        with self.exclusive(deadline_s):
            home = self._folder.home(META_NAME, elsewhere=self._meta is not None)
            self._folder.claim(tuple(f"{name}.db" for name in (*names, META_NAME)), home)
            self._make_map()
            return {name: self._made(name) for name in names}

    def create(self, name: str, dsn: str | None = None) -> Endpoint:
        """See Backend."""
        return self.up((name,), after(PATIENCE_S))[name]

    def _make_map(self) -> None:
        path = self._path(META_NAME)
        if self._meta is None and not path.exists():
            if names := self.all():
                raise CannotStart(f"{path} is gone, and only it knows what belongs to {', '.join(names)}; put it "
                                  "back, or start anew after `hotpath-shard down --purge`")
            create(str(path))

    def _made(self, name: str) -> Endpoint:
        path = self._path(name)
        if self.exists(name) and not _is_ours(path):
            raise Taken(f"{path} is there already, and is no shard of ours; move it away, or take another name")
        create(str(path))       # also of one that we were killed over
        return Endpoint("sqlite", path=str(path))

    def stop(self, name: str) -> None:
        """Nothing runs."""

    def purge(self, name: str, dsn: str | None = None) -> None:
        """Delete its files. Whoever has them open goes on with what nobody sees any more."""
        with self.exclusive(after(PATIENCE_S)):
            path = self._path(name)
            if self.exists(name) and _is_ours(path):
                for ending in (*BESIDE, ""):        # the last one says whether there is anything left to do
                    Path(f"{path}{ending}").unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete the map, and give the directory back."""
        with self.exclusive(after(PATIENCE_S)):
            if self._folder.is_ours:
                for ending in ("", *BESIDE):
                    Path(f"{self._path(META_NAME)}{ending}").unlink(missing_ok=True)
                self._folder.remove()

    def server(self, name: str) -> Server:
        """There is none; `up`: its file is there."""
        return Server(None, None, up=self.exists(name))

    def meta(self, first: str) -> Endpoint:
        """DATA/meta.db, unless the configuration names another."""
        return self._meta or Endpoint("sqlite", path=str(self._path(META_NAME)))

    def all(self) -> tuple[str, ...]:
        """See Backend."""
        paths = sorted(self._folder.path.glob("*.db")) if self.begun() else []
        return tuple(path.stem for path in paths if path.stem != META_NAME and _is_ours(path))

    def exists(self, name: str) -> bool:
        """Whether its file is there."""
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._folder.path / f"{name}.db"


def _is_ours(path: Path) -> bool:
    """Whether it is a database of ours, or empty: then we were killed before its first table stood."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise CannotStart(f"{path} cannot be opened: {error}") from None
        return False
    return not names or FENCE in names
