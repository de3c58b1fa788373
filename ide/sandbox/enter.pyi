from collections.abc import Iterable, Sequence

LAUNCH: int
SPAWN: int
SOCKETS: int
ARRANGE: int
MAX_SOCKETS: int
STAGES: tuple[str, ...]
DONE: int

def told(message: bytes) -> tuple[int, int, int]: ...
def start(
    mode: int,
    report: int,
    *,
    process: int = -1,
    cgroups: Sequence[int] = (),
    user: tuple[int, int] | None = None,
    folder: int = -1,
    stand_in: bytes | None = None,
    cwd: bytes = b"/",
    fds: Sequence[int] = (),
    die_with_parent: bool = False,
    oom_score: int = 0,
    nice: int = 0,
    cpus: Iterable[int] | None = None,
    size: tuple[int, int] = (80, 24),
    limits: Sequence[tuple[int, int, int]] = (),
    family: int = 0,
    n_sockets: int = 0,
    programs: Sequence[bytes] = (),
    argv: Sequence[bytes] = (),
    env: Sequence[bytes] = (),
    writes: Sequence[bytes] = (),
    pts_options: bytes | None = None,
) -> int: ...
