"""What the tests of all folders below take: real servers, of which the session has one group."""
from tests.engine import docker_engine  # noqa: F401
from tests.shard.servers import mysqls  # noqa: F401
