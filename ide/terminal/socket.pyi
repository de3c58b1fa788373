from collections.abc import Callable

from typing_extensions import disjoint_base

from hotpath.core.serve import Request, Response, Router
from hotpath.core.serve.exchange import Upgraded
from hotpath.ide.terminal.terminal import Terminal

SUBPROTOCOL: str

@disjoint_base
class TerminalSocket(Upgraded): ...

@disjoint_base
class Ending:
    def close(self, code: int, reason: str) -> None: ...

_Opened = Callable[[Request, Callable[[int, str], None]], Callable[[], object] | None]

def add_socket_route(
    app: Router, path: str, find: Callable[..., Terminal | Response], opened: _Opened | None = None
) -> None: ...
def nobody(request: object, socket: object, id: object, terminal: object) -> None: ...
