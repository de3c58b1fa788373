from typing_extensions import disjoint_base

from hotpath.proxy.plan import Plan

@disjoint_base
class Table:
    @property
    def cache(self) -> dict[tuple[int, bytes], bool]: ...
    def __init__(self, plan: Plan) -> None: ...
