"""What stands in a URL: query parameters and path segments, each read strictly."""
from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from urllib.parse import parse_qsl

from flask import request
from werkzeug.routing import BaseConverter, ValidationError

from .bodies import MAX_ID
from .problems import invalid

MAX_PARAMETERS = 16
# No log gets as long, and one more is still a number for every engine.
BEHIND_ALL = 2**62
# A family of four with skin tones is eleven; it must fit its column.
MAX_EMOJI = 16

_SELECTOR, _JOINER, _KEYCAP = "\ufe0f", "\u200d", "\u20e3"
# Emoji whose category is none of a symbol: !! !? i and the wavy dash.
_ODD_EMOJI = "\u203c\u2049\u2139\u3030"


class IdConverter(BaseConverter):
    """`<id:name>`: an id as we spell it. What none can be is a path that leads nowhere."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        """The number. Raises ValidationError above 63 bits."""
        number = int(value)
        if number > MAX_ID:
            raise ValidationError
        return number


class Query:
    """The present request's query. Read what may stand in it, then `check()`."""

    def __init__(self, *names: str) -> None:
        """`names` may stand in it, each once."""
        self._errors: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        try:
            pairs = parse_qsl(request.environ["QUERY_STRING"], keep_blank_values=True, encoding="utf-8",
                              errors="strict", max_num_fields=MAX_PARAMETERS)
        except UnicodeDecodeError:
            raise invalid(("", "the query is no UTF-8")) from None
        except ValueError:
            raise invalid(("", f"more than {MAX_PARAMETERS} parameters")) from None
        for name, value in pairs:
            if name not in names:
                self._errors.append((name[:64], "unknown"))
            elif name in self._values:
                self._errors.append((name, "given twice"))
            else:
                self._values[name] = value

    def __contains__(self, name: str) -> bool:
        """Whether it was given."""
        return name in self._values

    def integer(self, name: str, *, low: int = 0, high: int = MAX_ID) -> int | None:
        """An integer between the two; None: not given."""
        text = self._values.get(name)
        if text is None:
            return None
        if text.isascii() and text.isdecimal() and len(text) <= 19 and low <= (number := int(text)) <= high:
            return number
        self._errors.append((name, f"an integer from {low} to {high} is allowed"))
        return None

    def seq(self, name: str) -> int | None:
        """A place in a log; None: not given. Those behind every log are one place."""
        number = self.integer(name)
        return None if number is None else min(number, BEHIND_ALL)

    def limit(self, default: int, high: int) -> int:
        """How many are asked for."""
        number = self.integer("limit", low=1, high=high)
        return default if number is None else number

    def text(self, name: str, *, longest: int) -> str | None:
        """Text without NUL; None: not given."""
        text = self._values.get(name)
        if text is not None and (len(text) > longest or "\0" in text):
            self._errors.append((name, f"up to {longest} characters are allowed, no NUL"))
            return None
        return text

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first, if not given."""
        text = self._values.get(name, choices[0])
        if text not in choices:
            self._errors.append((name, f"{' or '.join(choices)} is allowed"))
        return text

    def at_most_one(self, *names: str) -> None:
        """Of these."""
        given = [name for name in names if name in self._values]
        self._errors.extend((name, f"only one of {', '.join(names)} is allowed") for name in given[1:])

    def require(self, name: str) -> None:
        """It must be given."""
        if name not in self._values:
            self._errors.append((name, "required"))

    def check(self) -> None:
        """Raises Refusal 422 if anything was wrong."""
        if self._errors:
            raise invalid(*self._errors)


def emoji(text: str) -> str:
    """`text` if it is one emoji, or a few joined. Raises Refusal 422."""
    bases = sum(map(_is_base, text))
    if 1 <= len(text) <= MAX_EMOJI and bases and _is_base(text[0]) and all(
            _is_base(letter) or _is_modifier(letter) for letter in text):
        return text
    if len(text) in (2, 3) and text[0] in "0123456789#*" and text[1:] in (_SELECTOR + _KEYCAP, _KEYCAP):
        return text
    raise invalid(("emoji", f"an emoji of up to {MAX_EMOJI} code points is allowed"))


def _is_base(letter: str) -> bool:
    # So: other symbols; Sm: arrows, ◾. Those newer than our tables lie in the block. U+FFFD is what was no UTF-8.
    return letter != "\ufffd" and (
        (unicodedata.category(letter) in ("So", "Sm") and letter > "\x7f")
        or "\U0001f000" <= letter <= "\U0001faff" or letter in _ODD_EMOJI)


def _is_modifier(letter: str) -> bool:
    return letter in (_SELECTOR, _JOINER) or "\U000e0020" <= letter <= "\U000e007f"
