"""A server on each database, for all tests of a file."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.locking.databases import BACKENDS
from tests.locking.web.servers import Server, serving


@pytest.fixture(scope="module", params=BACKENDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers on a database of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('data')}/test.db"
    else:
        url = request.getfixturevalue(request.param).new_url()
    with serving("--url", url) as server:
        server.url = url
        yield server


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One on SQLite, for what no database has a say in."""
    with serving("--data", str(tmp_path_factory.mktemp("data")), workers=1) as server:
        yield server
