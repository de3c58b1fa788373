"""What the tests of all folders below take: real servers, of which the session has one group."""
from tests.shard.servers import docker_engine, mysqls  # noqa: F401
