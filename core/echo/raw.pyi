from typing_extensions import disjoint_base

from hotpath.core.serve.exchange import Server, Upgraded

from .command import EchoConfig

@disjoint_base
class RawEcho(Upgraded): ...

def attach(config: EchoConfig, server: Server) -> None: ...
