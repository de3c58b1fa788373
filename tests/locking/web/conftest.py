"""A server on each database, for all tests of a file."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.locking.databases import BACKENDS
from tests.locking.web.servers import Server, serving
from tests.scratch import scratch


@pytest.fixture(scope="module", params=BACKENDS)
def served(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Two workers on a database of its own."""
    with scratch("locking") as folder:
        if request.param == "sqlite":
            url = f"sqlite:///{folder}/test.db"
        else:
            url = request.getfixturevalue(request.param).new_url()
        with serving("--url", url) as server:
            server.url = url
            yield server


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """One on SQLite, for what no database has a say in."""
    with scratch("locking") as folder, serving("--data", str(folder), workers=1) as server:
        yield server
