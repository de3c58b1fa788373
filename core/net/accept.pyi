from collections.abc import Callable
from socket import socket

from typing_extensions import disjoint_base

from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream

@disjoint_base
class Listener:
    @property
    def loop(self) -> Loop: ...
    @property
    def closed(self) -> bool: ...
    @property
    def n_failed(self) -> int: ...
    def __init__(
        self,
        loop: Loop,
        sock: socket,
        on_stream: Callable[[Stream], object],
        *,
        gauges: memoryview | None = None,
        accepting: memoryview | None = None,
        workers: int = 1,
        worker: int = 0,
        limit: int = 0,
        nudge: int = -1,
    ) -> None: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...
