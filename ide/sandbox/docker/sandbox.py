"""The sandbox of docker: a container per project, which goes on when the server ends and is taken up by the next."""
from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import quote

from hotpath.core.tasks import offload, spawn, timeout
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox import NOTHING, Running, Spawned, Spec
from hotpath.ide.sandbox.owner import give
from hotpath.ide.templates import Template

from .client import socket_path, unreachable
from .container import LABEL, Image, owner
from .control import Control, Standing, no_image
from .endings import Endings
from .engine import Engine, Refused
from .inside import hang_up
from .program import Place, Program, run_inside
from .running import Container, start_program

log = logging.getLogger(__name__)

KNOWN_S = 3.0           # so long we believe what the engine said of an image
ASK_S = 3.0             # so long a page waits for that


class DockerSandbox:
    """`Sandbox`: what its containers may stands in container.py."""

    kind = "docker"

    def __init__(self, config: IdeConfig) -> None:
        """Raises ValueError(the key, message): a `docker_host` that cannot be."""
        self._config = config.sandbox
        self._path = socket_path(config.sandbox.docker_host)
        self._engine = Engine(self._path, answer_s=config.sandbox.start_timeout)
        self._control = Control(self._path, config.sandbox, config.folder)
        self._endings = Endings(self._engine, f"{LABEL}={owner(config.folder)}", self._lost)
        self._known: dict[str, tuple[float, str | None]] = {}       # of an image, or of the engine ("")
        self._once: set[str] = set()        # containers of programs that run
        self._swept = False

    def missing(self, template: Template) -> str | None:
        """See Sandbox."""
        for known in ("", template.image):
            until_s, said = self._known.get(known, (0.0, None))
            if time.monotonic() < until_s and (known or said):
                return said
        if not template.image:
            return no_image(template)
        of, said = template.image, None
        try:
            with timeout(ASK_S):
                self._engine.tell("GET", f"/images/{quote(template.image, safe='/:@')}/json")
        except Refused as error:
            said = no_image(template) if error.status == 404 else f"the Docker engine refuses: {error}"
        except OSError as error:
            of, said = "", unreachable(self._path, error)
        self._known[of] = time.monotonic() + KNOWN_S, said
        return said

    def start(self, spec: Spec) -> Running:
        """See Sandbox."""
        if not self._swept:
            self._sweep(self._all(), None)
        standing, image, was_running = self._started(spec, once=False)
        running = self._taken(spec, standing, image)
        if was_running:
            self._hang_up(running.place)
        return running

    def adopt(self, specs: Sequence[Spec]) -> dict[str, Running]:
        """See Sandbox. An engine that is down has nothing for us, and one that is silent does not keep the server."""
        try:
            with timeout(ASK_S):
                self._engine.tell("GET", "/_ping")
            found = self._all()
            self._sweep(found, {spec.id for spec in specs})
        except (SandboxFailed, Refused) as error:
            log.warning("adopts nothing: %s", error)
            return {}
        except OSError as error:
            log.warning("adopts nothing: %s", unreachable(self._path, error))
            return {}
        running = {one.project: one for one in found if one.running and not one.once}
        tasks = {spec.id: spawn(self._adopted, spec, running[spec.id], name=f"docker adopt {spec.id}")
                 for spec in specs if spec.id in running}
        adopted = {id: task.result() for id, task in tasks.items()}
        return {id: one for id, one in adopted.items() if one is not None}

    def once(
        self, spec: Spec, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING
    ) -> Spawned:
        """See Sandbox."""
        standing, image, _ = self._started(spec, once=True)
        self._once.add(standing.id)
        try:
            program = start_program(self._place(standing), spec, image, argv, cols, rows, env)
        except BaseException:
            spawn(self._remove_once, standing.id, name="docker once")
            raise
        spawn(self._remove_behind, program, standing.id, name="docker once")
        return program

    def remove(self, id: str) -> None:
        """See Sandbox. Raises SandboxFailed."""
        for standing in self._all():
            if standing.project == id:
                offload(self._control.remove, standing.id)

    def close(self) -> None:
        """See Sandbox: projects' containers go on; nobody could see what one-shot ones do."""
        self._endings.close()
        for container in self._once:
            with suppress(OSError):
                self._engine.request("DELETE", f"/containers/{container}?force=1&v=1")
        self._control.close()

    def _started(self, spec: Spec, *, once: bool) -> tuple[Standing, Image, bool]:
        if not spec.template.image:
            raise SandboxFailed(no_image(spec.template))
        try:
            with timeout(self._config.start_timeout):
                if os.geteuid() == 0:
                    offload(give, spec.files, self._config.ids)
                return offload(self._control.start, spec, once=once)
        except TimeoutError:
            raise SandboxFailed(f"the container did not start within {self._config.start_timeout:g} s: the machine is "
                                "overloaded, or sandbox.start_timeout is too short") from None

    def _all(self) -> list[Standing]:
        return offload(self._control.all)

    def _sweep(self, found: Sequence[Standing], projects: set[str] | None) -> None:
        """Remove what a server before us left: one-shot containers, and those that are no project's."""
        self._swept = True
        for standing in found:
            left = standing.once != self._control.server if standing.once else (
                projects is not None and standing.project not in projects)
            if left:
                log.info("removing container=%s", standing.name)
                offload(self._control.remove, standing.id)

    def _adopted(self, spec: Spec, standing: Standing) -> Running | None:
        try:
            image = offload(self._control.image, spec.template.image) if spec.template.image else None
            if image is None or standing.made != self._control.wanted(spec, image):
                # It may do what the configuration forbids by now. It is made anew when the project starts.
                log.info("removing container=%s: the configuration changed", standing.name)
                offload(self._control.remove, standing.id)
                return None
        except SandboxFailed as error:
            log.warning("container=%s is not adopted: %s", standing.name, error)
            return None
        running = self._taken(spec, standing, image)
        self._hang_up(running.place)
        return running

    def _taken(self, spec: Spec, standing: Standing, image: Image) -> Container:
        return Container(spec, image, self._place(standing), standing.pid, self._control)

    def _place(self, standing: Standing) -> Place:
        uid, gid = self._config.ids
        return Place(self._engine, self._endings, standing.id, standing.name, f"{uid}:{gid}",
                     self._config.start_timeout)

    def _hang_up(self, place: Place) -> None:
        """The terminals of the server before us are gone, and nobody could reach or end what runs on them."""
        with suppress(OSError, Refused):
            run_inside(place, hang_up())

    def _remove_behind(self, program: Program, container: str) -> None:
        program.wait()
        self._remove_once(container)

    def _remove_once(self, container: str) -> None:
        try:
            offload(self._control.remove, container)
        except SandboxFailed as error:
            log.warning("a one-shot container stays until the next start: %s", error)
        self._once.discard(container)

    def _lost(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"the Docker engine was lost: {unreachable(self._path, error)}"
        return f"the Docker engine was lost: {error}"
