import socket
from collections.abc import Callable, Iterable, Sequence

from typing_extensions import disjoint_base

from hotpath.core.net.lines import LineFile
from hotpath.core.serve.config import ServeConfig
from hotpath.core.serve.exchange import Server
from hotpath.core.serve.table import Table
from hotpath.core.worker import WorkerContext

@disjoint_base
class Worker:
    @property
    def draining(self) -> bool: ...
    def __init__(
        self, config: ServeConfig, table: Table, shared: object, index: int, sockets: Sequence[socket.socket],
        access_log: LineFile | None, starters: Iterable[Callable[[], object]] = (),
        reopeners: Iterable[Callable[[], None]] = (), attachers: Iterable[Callable[[Server], object]] = ()
    ) -> None: ...
    def run(self, context: WorkerContext) -> None: ...
    def start(self) -> None: ...
    def drain(self, context: WorkerContext) -> None: ...
    def reopen(self) -> None: ...
