"""The engine through its own library, for what is asked seldom: where it is, and what its errors mean."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hotpath.ide.errors import SandboxFailed

if TYPE_CHECKING:
    import docker

DEFAULT = "unix:///var/run/docker.sock"
HELP = "start it (systemctl start docker), or say where it is with sandbox.docker_host"


def socket_path(docker_host: str) -> str:
    """The path of the engine's socket. Raises ValueError(the key, what is allowed)."""
    url = docker_host or os.environ.get("DOCKER_HOST", "") or DEFAULT
    path = url.removeprefix("unix://")
    if path == url or not path.startswith("/"):
        # A project's files are mounted into its container: they must be on the engine's own machine.
        raise ValueError("sandbox.docker_host", f"{url!r} is not on this machine; allowed: unix:///PATH")
    if len(os.fsencode(path)) > 107:
        raise ValueError("sandbox.docker_host", f"{url!r} is too long for a unix socket; allowed: 107 bytes")
    return path


def connected(path: str, *, timeout_s: float) -> docker.DockerClient:
    """A client; each of its requests takes `timeout_s` at most. Raises SandboxFailed."""
    # Only this sandbox needs it, and it is slow to import.
    import docker
    with engine_errors(path):
        return docker.DockerClient(f"unix://{path}", version="auto", timeout=max(1, round(timeout_s)))


@contextmanager
def engine_errors(path: str, what: str = "") -> Iterator[None]:
    """Make a SandboxFailed of whatever the engine refuses of `what`, or of its silence."""
    import docker.errors
    import requests.exceptions
    about = f"{what}: " if what else ""
    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxFailed(f"{about}the Docker engine refuses: {error.explanation or error}") from None
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise SandboxFailed(about + unreachable(path, error)) from None


def unreachable(path: str, error: object) -> str:
    """The sentence for an engine that cannot be reached; what helps, too."""
    said = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in said:
        return (f"this user may not use the Docker engine at {path}: join the group that owns the socket "
                "(usermod -aG docker …), or start as root")
    if isinstance(error, TimeoutError) or "timed out" in said:
        return f"the Docker engine at {path} does not answer in time: see its log (journalctl -u docker)"
    return f"no Docker engine answers at {path}: {HELP}"
