"""A loop that is stopped whatever happens, and sockets on it."""
import socket
from collections.abc import Callable, Iterator

import pytest

from hotpath.core.net.loop import Loop
from tests.waiting import DEADLINE_S

KERNEL_BYTES = 200_000


class Overdue(Exception):
    """The loop ran until the deadline and the awaited did not happen."""


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def run_until(loop: Loop) -> Callable[[Callable[[], object]], None]:
    """Run the loop until `happened()`; look after every few milliseconds."""
    def run_until(happened: Callable[[], object]) -> None:
        def look() -> None:
            nonlocal looks
            if happened():
                loop.stop()
            elif looks * 0.002 > DEADLINE_S:
                failures.append(happened)
                loop.stop()
            else:
                looks += 1
                loop.call_later(0.002, look)

        failures: list[object] = []
        looks = 0
        look()
        loop.run()
        if failures:
            raise Overdue(f"after {DEADLINE_S} s: {happened}")

    return run_until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: ours, and a peer's that blocks. The kernel keeps little for either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        peer.settimeout(DEADLINE_S)
        peer.connect(server.getsockname())
        ours, _ = server.accept()
    with ours, peer:
        yield ours, peer
