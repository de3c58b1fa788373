from collections.abc import Iterable

from typing_extensions import disjoint_base

from hotpath.core.wire.ws.upgrade import DeflateParameters

@disjoint_base
class Options:
    @property
    def subprotocols(self) -> tuple[str, ...]: ...
    @property
    def deflate(self) -> DeflateParameters | None: ...
    def __init__(
        self, max_message: int = 1024 * 1024, *, max_frame: int = 0, subprotocols: Iterable[str] = (),
        deflate: DeflateParameters | None = None, ping_s: float = 30.0, pong_s: float = 30.0, close_s: float = 5.0,
        max_unsent: int = 1024 * 1024, age_s: float = 30.0, max_queued: int = 65536, min_deflate: int = 128,
    ) -> None: ...
