from typing import Self

from typing_extensions import Buffer, disjoint_base

@disjoint_base
class Block:
    def __new__(cls, message: str | Buffer, *, text: bool = False) -> Self: ...
