"""The two engines that the chat runs on: a SQLite file, and a real MariaDB started for the session.

    from tests.chat.databases import database, engine, mariadb      # noqa: F401   pytest finds them in the module

`database` is an empty one of `engine`; a test module that imports it runs on both.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotpath.chat.config import SQLITE, ChatConfig, DatabaseConfig
from hotpath.chat.store import Database
from tests.mariadb import MariaDb, missing, running_mariadb


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One for all tests of the session."""
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which one the test runs on."""
    return str(request.param)


@pytest.fixture
def config(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> ChatConfig:
    """Of an empty database of `engine`."""
    url = SQLITE if engine == "sqlite" else request.getfixturevalue("mariadb").emptied_url()
    return ChatConfig(data=str(tmp_path / "data"), database=DatabaseConfig(url=url, busy=5.0))


@pytest.fixture
def database(config: ChatConfig) -> Iterator[Database]:
    """Opened, with its tables."""
    opened = Database.open(config)
    yield opened
    opened.close()
