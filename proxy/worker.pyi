from collections.abc import Sequence
from logging import Logger
from socket import socket

from typing_extensions import disjoint_base

from hotpath.core.worker import WorkerContext
from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.log import AccessLog
from hotpath.proxy.state import State

log: Logger

@disjoint_base
class Worker:
    def __init__(
        self, config: ProxyConfig, state: State, index: int, sockets: Sequence[socket], access_log: AccessLog | None
    ) -> None: ...
    def run(self, context: WorkerContext) -> None: ...
    def drain(self, context: WorkerContext) -> None: ...
    def reopen(self) -> None: ...
