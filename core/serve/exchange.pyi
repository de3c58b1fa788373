from typing_extensions import disjoint_base

from hotpath.core.net.loop import Loop
from hotpath.core.serve.request import Incoming
from hotpath.core.serve.table import Table

@disjoint_base
class Upgraded: ...

@disjoint_base
class Server:
    @property
    def loop(self) -> Loop: ...
    @property
    def table(self) -> Table: ...

@disjoint_base
class Exchange(Incoming):
    @property
    def name(self) -> str: ...
