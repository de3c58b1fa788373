"""One server for all tests that only ask it."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.core.serve.config import Limits, ServeConfig, Timeouts
from hotpath.core.serve.testing import Served, serving
from tests.core.serve import apps


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What /static/ serves."""
    path: Path = tmp_path_factory.mktemp("files")
    (path / "a.txt").write_bytes(b"0123456789")
    (path / "big.bin").write_bytes(bytes(range(256)) * 16384)
    (path / "index.html").write_bytes(b"<p>index")
    (path / "sub").mkdir()
    (path / "sub" / "index.html").write_bytes(b"<p>sub")
    (path / ".secret").write_bytes(b"hidden")
    (path.parent / "outside.txt").write_bytes(b"outside")
    return path


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[Served]:
    """apps.make() behind one worker."""
    with serving(apps.make(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def hasty(folder: Path) -> Iterator[Served]:
    """The same with every deadline short and every limit low."""
    config = ServeConfig(
        timeouts=Timeouts(head=0.2, idle=0.3, body=0.2, send=0.3, drain=5.0),
        limits=Limits(line=256, head=1024, fields=10, body=1000, body_rate=0, unsent=65536, requests=5))
    with serving(apps.make(folder), config) as running:
        yield running
