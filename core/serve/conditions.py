"""What do If-Match and If-None-Match ask for? (RFC 9110 section 13.1)"""
from __future__ import annotations

import re

from .problem import RequestError

# An entity tag (RFC 9110 section 8.8.3), alone or in a list.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_BLANKS = " \t"


def tags_of(condition: str) -> list[tuple[bool, str]] | None:
    """(weak, tag) of each in If-Match or If-None-Match; None for `*`. RequestError 400."""
    rest = condition.strip(_BLANKS)
    if rest == "*":
        return None
    tags = []
    while rest:
        if rest[0] == ",":                  # an empty element of the list
            rest = rest[1:].lstrip(_BLANKS)
            continue
        match = _TAG.match(rest)
        if match is None or rest[match.end():].lstrip(_BLANKS)[:1] not in ("", ","):
            raise RequestError("a condition is * or a list of entity tags in quotes")
        tags.append((match[1] is not None, match[2]))
        rest = rest[match.end():].lstrip(_BLANKS)
    return tags


def is_known(condition: str, current: str) -> bool:
    """Whether If-None-Match names the current tag, given without quotes, by weak comparison. RequestError 400."""
    tags = tags_of(condition)
    return tags is None or any(tag == current for _weak, tag in tags)


def is_current(condition: str, current: str) -> bool:
    """Whether If-Match names the current tag, by strong comparison: a weak one matches nothing. RequestError 400."""
    tags = tags_of(condition)
    return tags is None or any(tag == current and not weak for weak, tag in tags)
