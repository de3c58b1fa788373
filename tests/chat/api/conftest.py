"""One server for all tests of a session on each engine; whoever needs it otherwise starts one."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotpath.chat.config import SQLITE
from tests.chat.api.serving import Api, Caller, make_config, running_redis, serving
from tests.chat.databases import mariadb  # noqa: F401   pytest finds the fixture here


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Of a redis-server."""
    with running_redis() as (url, _):
        yield url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is refused before the database hears of it need not be asked of two: see `one_engine`."""
    if "api" in metafunc.fixturenames:
        is_one = getattr(metafunc.function, "one_engine", False) or getattr(metafunc.module, "ONE_ENGINE", False)
        metafunc.parametrize("api", ("sqlite",) if is_one else ("sqlite", "mariadb"), indirect=True, scope="session")


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server on each engine. `ann` was the first there."""
    url = SQLITE if request.param == "sqlite" else request.getfixturevalue("mariadb").new_url()
    folder = tmp_path_factory.mktemp(request.param)
    with serving(make_config(folder, redis_url, url)) as started:
        started.person("ann")
        yield started


@pytest.fixture
def ann(api: Api) -> Caller:
    """An admin."""
    return api.person("ann")


@pytest.fixture
def bob(api: Api) -> Caller:
    """Somebody else."""
    return api.person("bob")


@pytest.fixture
def cy(api: Api) -> Caller:
    """A third."""
    return api.person("cy")
