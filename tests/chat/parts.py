"""The parts that are not ours: what comes embedded, or a mariadbd and a redis-server that a test may kill."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chat.house import OwnRedis
from tests.mariadb import MariaDb, missing, running_mariadb

EMBEDDED, REAL = "sqlite and embedded redis", "mariadbd and redis-server"
ENGINES = (EMBEDDED, REAL)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the house's configuration says of them; None where they are embedded."""

    config: dict[str, Any]
    database: MariaDb | None = None
    redis: OwnRedis | None = None


@contextmanager
def real_parts(engine: str, folder: Path) -> Iterator[Parts]:
    """They run while the block does."""
    if engine == EMBEDDED:
        yield Parts({})
        return
    if why := missing():
        pytest.skip(why)
    with ExitStack() as stack:
        database, redis = stack.enter_context(running_mariadb()), OwnRedis(folder / "redis")
        stack.callback(redis.kill)
        redis.start()
        yield Parts({"database": {"url": database.new_url()}, "redis": {"url": redis.url}}, database, redis)
