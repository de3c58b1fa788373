from ssl import SSLContext

from typing_extensions import disjoint_base

@disjoint_base
class Terminator:
    @property
    def context(self) -> SSLContext: ...
    def __init__(self, context: SSLContext) -> None: ...

@disjoint_base
class Session:
    def __init__(self, terminator: Terminator) -> None: ...
