"""WebSocket against wsproto and against Python's own copy and decoder: what does it cost to read a frame?

Ours are the bare kernels, with the object they fill. wsproto makes its frames, for it has nothing below them.
"""
from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from wsproto.frame_protocol import FrameProtocol

from hotpath.core.wire import ws
from hotpath.core.wire.ws import probe

# Many at once, so that the call from Python does not count.
FRAMES = 1000
LARGE = 64 * 1024
MASK = b"\x37\xfa\x21\x3d"
TEXTS = {
    "ASCII": b"The quick brown fox jumps over the lazy dog. " * 2000,
    "mixed": "Zażółć gęślą jaźń; 日本語, 😀 and English. ".encode() * 2000,
}


def masked(payload: bytes) -> bytes:
    """A text frame of a client."""
    return probe.write_frame_head(0x81, len(payload), MASK) + probe.unmask(payload, MASK)


def cut(text: bytes) -> bytes:
    """LARGE bytes of it, or a little less, so that it ends with a whole character."""
    return text[:LARGE].decode(errors="ignore").encode()


SMALL = masked(b"x" * 128)


def wsproto_frames() -> int:
    """FRAMES frames on one connection."""
    protocol = FrameProtocol(client=False, extensions=[])
    for _ in range(FRAMES):
        protocol.receive_bytes(SMALL)
        for _frame in protocol.received_frames():
            pass
    return len(SMALL)


@pytest.mark.benchmark(group=f"{FRAMES} masked frames of 128 bytes")
@pytest.mark.parametrize("read", [
    pytest.param(lambda: ws.scan_frame(SMALL, repeat=FRAMES), id="hotpath"),
    pytest.param(wsproto_frames, id="wsproto"),
])
def test_frames(benchmark: BenchmarkFixture, read: Callable[[], int]) -> None:
    """Small frames, one after the other."""
    assert benchmark(read) == len(SMALL)


def receive(frame: bytes) -> bytes:
    """The payload, unmasked and checked, in a new object."""
    _, (piece,) = probe.Receiver().feed(frame)
    return piece.payload


def wsproto_receive(frame: bytes) -> bytes:
    """The payload, unmasked and decoded."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(frame)
    (received,) = protocol.received_frames()
    assert isinstance(received.payload, str)
    return received.payload.encode()


def copied(payload: bytes) -> bytes:
    """The bytes alone, neither unmasked nor checked."""
    return bytes(memoryview(payload))


def copied_and_decoded(payload: bytes) -> bytes:
    """What Python does at its best with text that was never masked."""
    copy = copied(payload)
    copy.decode()
    return copy


def text_group(kind: str) -> list[object]:
    """The contenders over one kind of text."""
    payload = cut(TEXTS[kind])
    frame = masked(payload)
    reads: dict[str, Callable[[], bytes]] = {
        "hotpath": lambda: receive(frame),
        "copy": lambda: copied(payload),
        "copy, then decode": lambda: copied_and_decoded(payload),
        "wsproto": lambda: wsproto_receive(frame),
    }
    group = pytest.mark.benchmark(group=f"64 KiB of masked {kind} text")
    return [pytest.param(payload, read, id=name, marks=group) for name, read in reads.items()]


@pytest.mark.parametrize(("payload", "read"), text_group("ASCII"))
def test_ascii_text(benchmark: BenchmarkFixture, payload: bytes, read: Callable[[], bytes]) -> None:
    """A large message, unmasked and checked."""
    assert benchmark(read) == payload


@pytest.mark.parametrize(("payload", "read"), text_group("mixed"))
def test_mixed_text(benchmark: BenchmarkFixture, payload: bytes, read: Callable[[], bytes]) -> None:
    """The same with characters of one to four bytes."""
    assert benchmark(read) == payload


@pytest.mark.benchmark(group="64 KiB unmasked")
@pytest.mark.parametrize("read", [
    pytest.param(lambda data: probe.unmask(data, MASK), id="hotpath"),
    pytest.param(copied, id="copy"),
])
def test_unmask(benchmark: BenchmarkFixture, read: Callable[[bytes], bytes]) -> None:
    """Binary payload, into a new object."""
    assert len(benchmark(read, bytes(LARGE))) == LARGE
