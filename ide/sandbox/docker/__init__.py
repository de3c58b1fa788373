"""A container per project, at the Docker engine of this machine."""
from .sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
