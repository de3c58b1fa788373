"""A project with nothing in it."""
from __future__ import annotations

import subprocess

import pytest

from tests.ide.files import places


@pytest.fixture
def place(tmp_path):
    one = places.place(tmp_path / "project")
    yield one
    one.files.close()
    leftovers = one.leftovers
    # Some are deeper than Python's own rmtree can go.
    subprocess.run(["rm", "-rf", one.folder], check=True)
    assert leftovers == []
