"""One server for all tests of the routes."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ide.paths import public_folder
from tests.ide.servers import Ide, serving, written


@pytest.fixture(scope="session")
def ide() -> Iterator[Ide]:
    """Plain processes, small limits, below a path."""
    with public_folder() as folder:
        file = written(
            folder, base_path="/ide", limits={"file": "64k", "upload": "256k", "tree": 50},
            sandbox={"disk": "4m", "files": 200},
            templates={"bare": {"title": "Bare", "image": "none", "files": {"a.txt": "one\n"}, "run": "echo ran"}})
        with serving(file, base="/ide") as running:
            yield running


@pytest.fixture(scope="module")
def project(ide: Ide, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A project of each module's own, which runs."""
    return ide.create(f"of {request.module.__name__}", "bare")


@pytest.fixture
def files(ide: Ide, project: dict[str, Any]) -> str:
    """The path of its API."""
    return f"/api/projects/{project['id']}"
