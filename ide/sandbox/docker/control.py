"""Containers are made, started, found and removed here: blocking, for threads, by the engine's own library."""
from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotpath.ide.config import SandboxConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox import Spec
from hotpath.ide.templates import Template

from .accounts import written
from .client import connected, engine_errors
from .container import LABEL, MADE, ONCE, PROJECT, Image, name_of, owner, settings

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """A container that runs, or could."""

    id: str
    name: str
    project: str
    made: str                   # see container.MADE
    once: str                   # see container.ONCE
    running: bool
    pid: int                    # of its first process, as the engine's machine counts; 0: it does not run


class Control:
    """The containers of the data folder `data` at the engine behind `path`."""

    def __init__(self, path: str, config: SandboxConfig, data: Path) -> None:
        self._path = path
        self._data = data
        self._config = config
        self._ours = owner(data)
        self.server = secrets.token_hex(4)      # this one, of all that this data folder had
        self._lock = threading.Lock()
        self._connected: docker.DockerClient | None = None

    def start(self, spec: Spec, *, once: bool = False) -> tuple[Standing, Image, bool]:
        """The project's container, running, as the configuration wants it, and whether it ran. Raises SandboxFailed."""
        import docker.errors
        with engine_errors(self._path):
            client = self._client()
            try:
                image = Image.of(client.images.get(spec.template.image).attrs)
            except docker.errors.ImageNotFound:
                raise SandboxFailed(no_image(spec.template)) from None
            made = self._settings(spec, image, once=once)
            name = f"{name_of(spec.id)}-{secrets.token_hex(4)}" if once else name_of(spec.id)
            container = None if once else self._reusable(client, name, made["labels"][MADE])
            if container is None:
                container = client.containers.create(name=name, **made)
            was_running = container.status in ("paused", "running")
            if container.status == "paused":
                container.unpause()
            elif container.status != "running":
                self._start(container)
            container.reload()
            standing = self._standing(container.attrs)
            if not standing.running:
                raise SandboxFailed(f"the container {name} ended as soon as it had started; is there a `sleep` in "
                                    f"the image {spec.template.image}?")
            return standing, image, was_running

    def image(self, name: str) -> Image | None:
        """None: the engine does not have it. Raises SandboxFailed."""
        import docker.errors
        with engine_errors(self._path):
            try:
                return Image.of(self._client().images.get(name).attrs)
            except docker.errors.ImageNotFound:
                return None

    def wanted(self, spec: Spec, image: Image) -> str:
        """The `made` of a container as the configuration wants it."""
        return str(self._settings(spec, image)["labels"][MADE])

    def all(self) -> list[Standing]:
        """All that are ours. Raises SandboxFailed."""
        import docker.errors
        found = []
        with engine_errors(self._path):
            client = self._client()
            for summary in client.api.containers(all=True, filters={"label": f"{LABEL}={self._ours}"}):
                with suppress(docker.errors.NotFound):      # removed meanwhile
                    found.append(self._standing(client.api.inspect_container(summary["Id"])))
        return found

    def remove(self, container: str) -> None:
        """End and forget it, if it is there. Raises SandboxFailed."""
        import docker.errors
        with engine_errors(self._path):
            try:
                self._client().api.remove_container(container, v=True, force=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != 409:        # somebody removes it already
                    raise

    def stop(self, container: str) -> None:
        """End what runs in it: at once, as there is nobody in it to be asked. Raises SandboxFailed."""
        import docker.errors
        with engine_errors(self._path):
            try:
                self._client().api.kill(container)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != 409:        # it does not run
                    raise
            # Until the processes are gone, their files are not at rest.
            with suppress(docker.errors.NotFound):
                self._client().api.wait(container, condition="not-running")

    def close(self) -> None:
        """Let go of the connections."""
        if self._connected is not None:
            self._connected.close()

    def _client(self) -> docker.DockerClient:
        with self._lock:
            if self._connected is None:
                self._connected = connected(self._path, timeout_s=self._config.start_timeout)
            return self._connected

    def _settings(self, spec: Spec, image: Image, *, once: bool = False) -> dict[str, Any]:
        files = written(self._data / "docker", *self._config.ids)
        return settings(spec, self._config, image, self._ours, files, once=self.server if once else "")

    def _reusable(self, client: docker.DockerClient, name: str, made: str) -> Container | None:
        """The one of that name, unless it was made otherwise: then it is removed."""
        import docker.errors
        try:
            container = client.containers.get(name)
        except docker.errors.NotFound:
            return None
        if container.labels.get(LABEL) != self._ours:
            raise SandboxFailed(f"the container {name} is there already and belongs to another data folder: if that is "
                                f"gone, remove it (docker rm -f {name})")
        if container.labels.get(MADE) == made and container.status in ("created", "exited", "running", "paused"):
            return container
        log.info("recreating container=%s status=%s", name, container.status)
        self.remove(container.id or name)
        return None

    def _start(self, container: Container) -> None:
        import docker.errors
        try:
            container.start()
        except docker.errors.APIError:
            # One whose start failed stays, and would fail again.
            with suppress(docker.errors.APIError):
                container.remove(force=True)
            raise

    def _standing(self, attributes: Mapping[str, Any]) -> Standing:
        labels, state = attributes["Config"]["Labels"] or {}, attributes["State"]
        return Standing(attributes["Id"], attributes["Name"].removeprefix("/"), labels.get(PROJECT, ""),
                        labels.get(MADE, ""), labels.get(ONCE, ""), bool(state["Running"]) and not state.get("Paused"),
                        state["Pid"])


def no_image(template: Template) -> str:
    """The sentence for an image that is not there."""
    image = template.image
    if not image:
        return f"the template {template.name} names no image: give it one (templates.{template.name}.image)"
    ours = image.startswith("hotpath/") and image.endswith(":local")
    command = f"hotpath-ide images {image[8:-6]}" if ours else f"hotpath-ide images {image}, or docker pull {image}"
    return f"the image {image} is not on this machine: get it with {command}"
