"""What locking is measured on: a SQLite file, or the MariaDB or PostgreSQL that its tests start."""
from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .machine import ROOT
from .processes import StartError

BACKENDS = ("sqlite", "mariadb", "postgresql")


def load_tests() -> None:
    """Make `tests` importable without the root on sys.path, where `core` would be a second module."""
    if "tests" not in sys.modules:
        here = ROOT / "tests"
        spec = importlib.util.spec_from_file_location("tests", here / "__init__.py",
                                                      submodule_search_locations=[str(here)])
        assert spec is not None
        assert spec.loader is not None
        sys.modules["tests"] = package = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(package)


@contextmanager
def database(backend: str, folder: Path) -> Iterator[str]:
    """The URL of a new, empty database while the block runs; a SQLite file lies in `folder`. Raises StartError.

    The servers sync each commit, as they do by default.
    """
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    load_tests()
    from tests import mariadb, postgres
    missing, running = {"mariadb": (mariadb.missing, mariadb.running_mariadb),
                        "postgresql": (postgres.missing, postgres.running_postgres)}[backend]
    if why := missing():
        raise StartError(why)
    with running() as server:
        yield server.new_url()
