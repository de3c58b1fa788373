from typing_extensions import disjoint_base

from hotpath.core.net.loop import Loop

@disjoint_base
class Watchdog:
    def __init__(self, loop: Loop, *, blocked_s: float = 0.25) -> None: ...
    def stop(self) -> None: ...
