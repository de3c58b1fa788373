"""Chapters 12 and 13: compressed messages of many sizes and kinds, under every set of deflate parameters."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from tests.wsclient import BINARY, RSV1, TEXT, Client, Deflate, cut, fragments

from . import samples
from .play import Case, Event, Play, close_cleanly, expect

# (size of a message, in characters for text; size of its frames once compressed, None: one frame)
SIZES: tuple[tuple[int, int | None], ...] = (
    (16, None), (64, None), (256, None), (1024, None), (4096, None), (8192, None), (16384, None), (32768, None),
    (65536, None), (131072, None), (8192, 256), (16384, 256), (32768, 256), (65536, 256), (131072, 256),
    (131072, 1024), (131072, 4096), (131072, 32768))

# Autobahn sends 1000 messages in each case: 10 GB to deflate and inflate twice. So many bytes per case show the same
# (windows slide over, contexts carry over) in seconds; HOTPATH_TEST_WS_MESSAGES=1000 asks for all of them.
CASE_BYTES = 1 << 20
MOST_MESSAGES = 1000
FORCED_MESSAGES = int(os.environ.get("HOTPATH_TEST_WS_MESSAGES", "0"))

Data = Callable[[], str | bytes]

# In the order of chapter 12: JSON, bitmap, prose, HTML, PDF.
DATA: tuple[Data, ...] = (samples.json_text, samples.picture, samples.prose, samples.html_text, samples.packed)

DEFAULT = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
FRESH = "; server_no_context_takeover"
SMALL, LARGE = "; server_max_window_bits=9", "; server_max_window_bits=15"

# In the order of chapter 13: alternatives, best first.
OFFERS: tuple[tuple[str, ...], ...] = (
    (DEFAULT,), (DEFAULT + FRESH,), (DEFAULT + SMALL,), (DEFAULT + LARGE,), (DEFAULT + FRESH + SMALL,),
    (DEFAULT + FRESH + LARGE,), (DEFAULT + FRESH + SMALL, DEFAULT + FRESH, DEFAULT))


def agrees(agreed: Deflate, offer: str) -> bool:
    """Whether the agreement grants what this offer asks of the server."""
    asked = Deflate(offer.replace("; client_max_window_bits", "")).parameters
    got = agreed.parameters
    fresh = "server_no_context_takeover" in got or "server_no_context_takeover" not in asked
    window = int(asked.get("server_max_window_bits", "15"))
    return fresh and int(got.get("server_max_window_bits", "15")) <= window


def messages(data: str | bytes, size: int, count: int) -> Iterator[bytes]:
    """`count` messages of `size` from a reading head that wanders through the data, over its end to its beginning."""
    at = 0
    for _ in range(count):
        end = (at + size) % len(data)
        piece = data[at:end] if end > at else data[at:] + data[:end]    # type: ignore[operator]
        yield piece if isinstance(piece, bytes) else piece.encode()
        at = end


def compressed(data_of: Data, size: int, fragment: int | None, offers: tuple[str, ...]) -> Play:
    """Message by message comes back, whatever context either side kept."""
    def play(client: Client) -> None:
        deflate = client.deflate
        assert deflate is not None, "the server declined"
        assert any(agrees(deflate, offer) for offer in offers), deflate.parameters
        data = data_of()
        opcode, kind = (TEXT, "text") if isinstance(data, str) else (BINARY, "binary")
        count = FORCED_MESSAGES or min(MOST_MESSAGES, CASE_BYTES // size)
        for payload in messages(data, size, count):
            packed = deflate.deflate(payload)
            client.send(b"".join(fragments(opcode, cut(packed, fragment or len(packed)), rsv=RSV1)))
            expect(client, Event(kind, payload))
        close_cleanly(client)

    return play


def chapter(number: int, variants: list[tuple[Data, tuple[str, ...]]]) -> Iterator[Case]:
    """Every size for each pair of data and offers."""
    for i, (data_of, offers) in enumerate(variants, 1):
        for j, (size, fragment) in enumerate(SIZES, 1):
            yield Case(f"{number}.{i}.{j}", compressed(data_of, size, fragment, offers), ", ".join(offers))


CASES: list[Case] = [
    *chapter(12, [(data_of, (DEFAULT,)) for data_of in DATA]),
    *chapter(13, [(samples.json_text, offers) for offers in OFFERS]),
]
