from collections.abc import Sequence
from logging import Logger
from socket import socket
from ssl import SSLContext

from typing_extensions import disjoint_base

from hotpath.core.worker import WorkerContext
from hotpath.proxy.config import Listen, ProxyConfig
from hotpath.proxy.log import AccessLog
from hotpath.proxy.state import State

log: Logger
_Door = tuple[socket, Listen, SSLContext | None]

@disjoint_base
class Worker:
    def __init__(
        self, config: ProxyConfig, state: State, index: int, doors: Sequence[_Door], access_log: AccessLog | None
    ) -> None: ...
    def run(self, context: WorkerContext) -> None: ...
    def refresh(self, events: int) -> None: ...
    def drain(self, context: WorkerContext) -> None: ...
    def reopen(self) -> None: ...
