import re
from collections.abc import Callable, Iterable

from typing_extensions import disjoint_base

from hotpath.core.serve.gate import Gate

PARAMETER: re.Pattern[str]
SEGMENT: re.Pattern[str]

def segments_of(pattern: str) -> list[tuple[str, str]]: ...
@disjoint_base
class Route:
    @property
    def method(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def handler(self) -> Callable[..., object]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def max_body(self) -> int: ...
    @property
    def gate(self) -> Gate | None: ...
    @property
    def index(self) -> int: ...
    def __init__(
        self, method: str, pattern: str, handler: Callable[..., object], *, max_body: int = -2,
        gate: Gate | None = None, index: int = 0
    ) -> None: ...

@disjoint_base
class Endpoint:
    def add(self, route: Route) -> None: ...

@disjoint_base
class Node: ...

@disjoint_base
class Table:
    @property
    def routes(self) -> list[Route]: ...
    def __init__(self, routes: Iterable[Route]) -> None: ...
    def match(
        self, method: str, path: bytes, *, is_plain: bool = False, socket: bool = False
    ) -> tuple[Route | None, dict[str, object], set[str]]: ...
