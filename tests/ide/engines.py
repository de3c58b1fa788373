"""A Docker engine with the images of the templates, for tests of the IDE.

    def test_…(docker_python):              # tests/ide/conftest.py has it
        …                                   # sandbox.kind: docker, with the templates python and web
"""
from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from hotpath.ide.config import IdeConfig
from hotpath.ide.images import command
from hotpath.ide.sandbox.docker.container import LABEL, owner
from tests.engine import docker_engine, only_one

__all__ = ["built", "docker_engine", "docker_python", "sweep"]


@pytest.fixture(scope="session")
def docker_python(docker_engine: None) -> str:
    """The image of the templates `python` and `web`. Building it takes a minute, once for the machine."""
    return built("python")


def sweep(data: Path) -> None:
    """Remove the containers of a data folder: they outlive its server."""
    import docker
    with closing(docker.from_env(version="auto")) as client:
        for one in client.api.containers(all=True, filters={"label": f"{LABEL}={owner(data)}"}):
            client.api.remove_container(one["Id"], force=True, v=True)


def built(name: str) -> str:
    """One of our images, by its short name. Two processes that test build one after the other."""
    with only_one("images"):
        assert command(IdeConfig(), [name]) == 0, "what the command said stands above"
    return f"hotpath/{name}:local"
