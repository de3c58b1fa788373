"""One project's container: programs start in it, and its ports are reached."""
from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from hotpath.core.tasks import Event, offload
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox import NOTHING, Port, Spawned, Spec

from .client import unreachable
from .container import Image, environment
from .control import Control
from .engine import Refused
from .network import Network
from .program import Place, Program, begun
from .relay import relayed


class Container:
    """A Running."""

    def __init__(self, spec: Spec, image: Image, place: Place, pid: int, control: Control) -> None:
        """`pid`: of its first process, as the engine's machine counts."""
        self.gone = Event()
        self.why = ""
        self.place = place
        self._spec = spec
        self._image = image
        self._network = Network(pid, place.container)
        self._control = control
        place.endings.of_container(place.container, self._ended)

    def spawn(self, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str] = NOTHING) -> Spawned:
        """See Running."""
        return start_program(self.place, self._spec, self._image, argv, cols, rows, env)

    def ports(self) -> list[Port]:
        """See Running."""
        return self._network.ports()

    def connect(self, port: int) -> int:
        """See Running."""
        family = self._network.family(port)
        try:
            return self._network.connect(port, family)
        except PermissionError:
            # Only root may enter it.
            try:
                return relayed(self.place, port, family)
            except Refused as error:
                raise ConnectionRefusedError(errno.ECONNREFUSED, str(error)) from None

    def stop(self) -> None:
        """See Running. Raises SandboxFailed if the engine does not do it."""
        if self.gone.is_set:
            return
        self.place.endings.forget(self.place.container)
        try:
            offload(self._control.stop, self.place.container)
        except BaseException:
            self.place.endings.of_container(self.place.container, self._ended)
            raise
        self._ended("")

    def _ended(self, why: str) -> None:
        self.why = why
        self._network.close()
        self.gone.set()


def start_program(
    place: Place, spec: Spec, image: Image, argv: Sequence[str], cols: int, rows: int, env: Mapping[str, str]
) -> Program:
    """In a task: a program in this container. Raises SandboxFailed."""
    try:
        return begun(place, list(argv), cols, rows, environment(spec, image, env))
    except Refused as error:
        raise SandboxFailed(f"the Docker engine refuses: {error}") from None
    except OSError as error:
        raise SandboxFailed(unreachable(place.engine.path, error)) from None
