"""Chapter 6: which bytes are text, and how early is a server sure that some are not?"""
from __future__ import annotations

from tests.wsclient import CONTINUATION, MASK, PING, TEXT, Client, cut, fragments, frame, frame_head, masked

from .play import BAD_DATA, Case, Play, answers, expect, expect_failure, fails, numbered, pong, text

# 11 bytes: the word of Markus Kuhn's test file, with the oxia, so one letter takes three.
GREEK = "κ\u1f79σμε".encode()
MIXED = "naïve façade – Größe 1 €"
TAIL = b"edited"

SURROGATE = GREEK + b"\xed\xa0\x80" + TAIL          # impossible from its byte A0 on
TOO_HIGH = GREEK + b"\xf4\x90\x80\x80" + TAIL       # impossible from its byte 90 on: beyond U+10FFFF
SURE_AT = len(GREEK) + 1                            # the index of that byte

# How long a server may take to be wrongly sure; only a server that fails too early can notice.
SILENCE_S = 0.05


def whole(payload: bytes) -> list[bytes]:
    """In one frame."""
    return [frame(TEXT, payload)]


def by_bytes(payload: bytes) -> list[bytes]:
    """A frame for each byte."""
    return list(fragments(TEXT, cut(payload, 1)))


def sure_in_fragment(first: bytes, second: bytes) -> Play:
    """The first fragment is fine, as a pong behind it proves; the second, not the last, fails the connection."""
    def play(client: Client) -> None:
        client.send(frame(TEXT, first, fin=False) + frame(PING, b"fine?"))
        expect(client, pong(b"fine?"))
        client.send_frame(CONTINUATION, second, fin=False)
        expect_failure(client, {BAD_DATA})

    return play


def sure_inside_frame(first: bytes, second: bytes) -> Play:
    """The same within one frame, whose end is never sent."""
    def play(client: Client) -> None:
        payload = masked(TOO_HIGH, MASK)
        client.send(frame_head(TEXT, len(payload)) + payload[:len(first)])
        assert client.is_silent_for(SILENCE_S)
        client.send(payload[len(first):len(first) + len(second)])
        expect_failure(client, {BAD_DATA})

    return play


def split_text() -> Play:
    """Cut between two characters."""
    at = len(MIXED) // 2
    pieces = [MIXED[:at].encode(), MIXED[at:].encode()]
    return answers(*fragments(TEXT, pieces), events=[text(MIXED.encode())])


FRAMES = [
    *numbered("6.1", [
        answers(frame(TEXT), events=[text(b"")]),
        answers(*fragments(TEXT, [b"", b"", b""]), events=[text(b"")]),
        answers(*fragments(TEXT, [b"", b"between", b""]), events=[text(b"between")]),
    ]),
    *numbered("6.2", [
        answers(*whole(MIXED.encode()), events=[text(MIXED.encode())]),
        split_text(),
        answers(*by_bytes(MIXED.encode()), events=[text(MIXED.encode())]),
        answers(*by_bytes(GREEK), events=[text(GREEK)]),
    ]),
    *numbered("6.3", [
        fails(*whole(SURROGATE), code=BAD_DATA),
        fails(*by_bytes(SURROGATE), code=BAD_DATA),
    ]),
    *numbered("6.4", [
        sure_in_fragment(GREEK, TOO_HIGH[len(GREEK):-len(TAIL)]),
        sure_in_fragment(TOO_HIGH[:SURE_AT], TOO_HIGH[SURE_AT:SURE_AT + 1]),
        sure_inside_frame(GREEK, TOO_HIGH[len(GREEK):-len(TAIL)]),
        sure_inside_frame(TOO_HIGH[:SURE_AT], TOO_HIGH[SURE_AT:SURE_AT + 1]),
    ]),
]


def encoded(code: int, length: int) -> bytes:
    """A code point in the general scheme of `length` (2 to 6) bytes, whether or not UTF-8 allows that."""
    lead = (0xFF00 >> length) & 0xFF
    rest = [0x80 | code >> 6 * i & 0x3F for i in reversed(range(length - 1))]
    return bytes([lead | code >> 6 * (length - 1), *rest])


def points(*codes: int) -> list[bytes]:
    """Code points as they should be."""
    return [chr(code).encode() for code in codes]


# The largest code of n bytes in the general scheme.
LAST = {1: 0x7F, 2: 0x7FF, 3: 0xFFFF, 4: 0x1FFFFF, 5: 0x3FFFFFF, 6: 0x7FFFFFFF}

UNFINISHED = [encoded(code, n)[:-1] for code_of in (lambda n: 0, LAST.__getitem__)
              for n in range(2, 7) for code in [code_of(n)]]

HIGH_SURROGATES = (0xD800, 0xDB7F, 0xDB80, 0xDBFF)

# Sections 6.5 to 6.23, in the order of Markus Kuhn's UTF-8 decoder stress test. Valid or not is Python's judgement,
# held against the table below it by test_cases.
TABLES: dict[str, list[bytes]] = {
    "6.5": [*(b"see " + point + b" there" for point in points(0x24, 0xA2, 0x20AC, 0x24B62)), GREEK],
    "6.6": [GREEK[:n] for n in range(1, len(GREEK) + 1)],
    "6.7": points(0, 0x80, 0x800, 0x10000),
    "6.8": [encoded(LAST[4] + 1, 5), encoded(LAST[5] + 1, 6)],
    "6.9": points(0x7F, 0x7FF, 0xFFFF, 0x10FFFF),
    "6.10": [encoded(LAST[n], n) for n in (4, 5, 6)],
    "6.11": [*points(0xD7FF, 0xE000, 0xFFFD, 0x10FFFF), encoded(0x110000, 4)],
    "6.12": [b"\x80", b"\xbf", *((b"\x80\xbf" * 3)[:n] for n in range(2, 7)), bytes(range(0x80, 0xBF))],
    "6.13": [b"".join(bytes([lead, 0x20]) for lead in range(first, last))
             for first, last in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))],
    "6.14": UNFINISHED,
    "6.15": [b"".join(UNFINISHED)],
    "6.16": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    "6.17": [encoded(ord("/"), n) for n in range(2, 7)],
    "6.18": [encoded(LAST[n - 1], n) for n in range(2, 7)],
    "6.19": [encoded(0, n) for n in range(2, 7)],
    "6.20": [encoded(code, 3) for code in (*HIGH_SURROGATES, 0xDC00, 0xDF80, 0xDFFF)],
    "6.21": [encoded(high, 3) + encoded(low, 3) for high in HIGH_SURROGATES for low in (0xDC00, 0xDFFF)],
    "6.22": points(*(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF))),
    "6.23": points(*range(0xFFF9, 0x10000)),
}

# Sections in which a text is refused, with how many of it; the others hold valid text only.
REFUSED = {"6.6": 6, "6.8": 2, "6.10": 3, "6.11": 1, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5,
           "6.18": 5, "6.19": 5, "6.20": 7, "6.21": 8}


def is_text(payload: bytes) -> bool:
    """Python's judgement, which is RFC 3629's."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def judged(payload: bytes) -> Play:
    """Text comes back; anything else fails the connection."""
    if is_text(payload):
        return answers(*whole(payload), events=[text(payload)])
    return fails(*whole(payload), code=BAD_DATA)


CASES: list[Case] = FRAMES + [case for section, payloads in TABLES.items()
                              for case in numbered(section, map(judged, payloads))]
