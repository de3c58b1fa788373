"""What the WebSocket kernels answer, as Python values: for tests, tools and reading."""
from dataclasses import dataclass

from typing_extensions import Buffer, disjoint_base

@dataclass(frozen=True, slots=True)
class FrameHead:
    """A whole frame head of `head_size` bytes; `size` is that of the payload, `mask` is None without one."""

    head_size: int
    first: int
    opcode: int
    size: int
    mask: bytes | None

@dataclass(frozen=True, slots=True)
class Piece:
    """What came of a message, or a whole control frame; `payload` is unmasked. `close_code`: of a close frame."""

    kind: str
    opcode: int
    payload: bytes
    compressed: bool
    starts: bool
    ends: bool
    frame_starts: bool
    frame_ends: bool
    frame_size: int
    close_code: int

@dataclass(frozen=True, slots=True)
class Broken:
    """The peer broke the protocol or a limit; close with `close_code`."""

    close_code: int
    error: str

KINDS: tuple[str, ...]

def read_frame_head(data: Buffer) -> FrameHead | int:
    """The frame head that `data` begins with; -2: not whole yet, -1: broken."""

def write_frame_head(first: int, size: int, mask: bytes | None = None) -> bytes:
    """The head of a frame with `size` bytes of payload; `first` is its first byte, `mask` four."""

def is_close_code(code: int) -> bool:
    """May `code` stand in a close frame?"""

def unmask(data: Buffer, mask: bytes) -> bytes:
    """`data` with the four bytes of `mask` laid over it again and again."""

def unmask_in_place(data: Buffer, mask: bytes) -> None:
    """As unmask, over a writable buffer."""

@disjoint_base
class Utf8:
    """Text that arrives in pieces."""

    @property
    def between(self) -> bool:
        """What has come so far ends with a whole character."""

    def feed(self, data: Buffer) -> bool:
        """False: one of these bytes can be in no text where it stands."""

@disjoint_base
class Receiver:
    """One side's incoming frames: give it bytes, get pieces."""

    def __init__(
        self, *, is_client: bool = False, deflate: bool = False, max_frame: int = 0, max_message: int = 0
    ) -> None:
        """`max_frame` and `max_message` are limits in bytes of payload; 0: none."""

    @property
    def broken(self) -> Broken | None:
        """What the peer did wrong; None while nothing."""

    @property
    def closed(self) -> bool:
        """A close frame came; what follows it is not looked at."""

    def feed(self, data: Buffer) -> tuple[int, list[Piece]]:
        """Take bytes while they make pieces: how many were taken, and the pieces. Give the rest again, with more."""

@disjoint_base
class Inflate:
    """Compressed messages to plain ones, never more than the room that is given."""

    def __init__(self, *, window_bits: int = 15, keeps_context: bool = True) -> None:
        """`window_bits`: 8 to 15."""

    @property
    def is_open(self) -> bool:
        """It holds memory of zlib."""

    def feed(self, data: Buffer, *, ends: bool, room: int) -> tuple[str, int, bytes]:
        """Inflate into `room` bytes at most: (more, fed or broken; bytes taken; bytes made)."""

@disjoint_base
class Deflate:
    """Plain messages to compressed ones."""

    def __init__(
        self, *, window_bits: int = 15, keeps_context: bool = True, level: int = 6, mem_level: int = 8
    ) -> None:
        """`window_bits`: 9 to 15; `level` and `mem_level`: 1 to 9."""

    @property
    def is_open(self) -> bool:
        """It holds memory of zlib."""

    def feed(self, data: Buffer, *, ends: bool) -> bytes:
        """One part of a message, compressed; `ends`: its last."""
