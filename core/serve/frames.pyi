from typing_extensions import Buffer, disjoint_base

@disjoint_base
class Block:
    @property
    def frame(self) -> bytes: ...
    def __init__(self, message: str | Buffer) -> None: ...
