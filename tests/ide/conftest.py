"""What the tests of all folders below take: a Docker engine, with images."""
from tests.ide.engines import docker_engine, docker_python  # noqa: F401
