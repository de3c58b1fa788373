"""Chapter 7: which close frames are answered, with which code, and what no longer counts behind one."""
from __future__ import annotations

from tests.wsclient import CLOSE, CONTINUATION, PING, TEXT, close_frame, frame

from .play import BAD_DATA, NORMAL, PROTOCOL_ERROR, Case, answers, closes, numbered, text
from .utf8 import SURROGATE

HELLO = b"Good morning!"
LONG = b"0123456789abcdef" * (256 * 1024 // 16)

# RFC 6455, section 7.4; 1012 and later are registered behind it, and no case asks about them.
GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)
CODES_BEYOND = (5000, 65535)    # of which the RFC says nothing

CASES: list[Case] = [
    *numbered("7.1", [
        answers(frame(TEXT, HELLO), events=[text(HELLO)]),
        closes(close_frame(), frame(CLOSE)),
        closes(close_frame(), frame(PING)),
        closes(close_frame(), frame(TEXT, HELLO)),
        closes(frame(TEXT, HELLO, fin=False), close_frame(), frame(CONTINUATION, HELLO)),
        # Autobahn only reports what happens here. A server that answers whole messages before a close owes both.
        closes(frame(TEXT, LONG), frame(TEXT, HELLO), close_frame(), frame(PING), events=[text(LONG), text(HELLO)]),
    ]),
    *numbered("7.3", [
        closes(frame(CLOSE), codes=[None, NORMAL]),
        closes(frame(CLOSE, b"a"), codes=[PROTOCOL_ERROR]),
        closes(close_frame(NORMAL)),
        closes(close_frame(NORMAL, HELLO)),
        closes(close_frame(NORMAL, b"*" * 123)),
        closes(close_frame(NORMAL, b"*" * 124), codes=[PROTOCOL_ERROR]),
    ]),
    Case("7.5.1", closes(close_frame(NORMAL, SURROGATE), codes=[PROTOCOL_ERROR, BAD_DATA])),
    *numbered("7.7", [closes(close_frame(code), codes=[NORMAL, code]) for code in GOOD_CODES]),
    *numbered("7.9", [closes(close_frame(code), codes=[PROTOCOL_ERROR]) for code in BAD_CODES]),
    *numbered("7.13", [closes(close_frame(code), codes=[NORMAL, code, PROTOCOL_ERROR]) for code in CODES_BEYOND]),
]
