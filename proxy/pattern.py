"""Can a stranger's path make this regular expression slow?

Python's `re` backtracks: `^(a+)+$` needs 2**n steps on n letters. A route's pattern runs on paths that anybody may
send, so what can explode is refused when the config is read. We bound the ways in which the pieces of a pattern can
share a path among them: each way may be tried.

The bound is coarse on purpose: it refuses some harmless patterns, and lets no exponential one pass. What may repeat
many times must hold no repeat, option or alternative. A repeat is loose unless a character ends it which it cannot
take itself (`.*/` is loose, `[^/]+/` is not); two loose ones are allowed, three are not.
"""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from re import _parser  # type: ignore[attr-defined]  # the public face, sre_parse, is deprecated
from typing import Any

# The longest path that is matched, in bytes: as many ways to place the end of one loose repeat.
LONGEST_PATH = 2048
# Two loose repeats and a few options: seconds at the very worst, milliseconds as a rule.
MAX_WAYS = 2 * LONGEST_PATH**2
TOO_MANY = MAX_WAYS + 1
# A repeat that may run longer than this is counted by the length of the path, a shorter one by its own.
MANY = 10
MAX_PATTERN = 1024

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}
# What the parser of `re` gives: (operation, argument), where an argument may hold further sequences.
Item = tuple[Any, Any]
Sequence = Iterable[Item]


def fault_of(pattern: str) -> str:
    """Why `pattern` is refused, as the rest of a sentence; "" when it is fine."""
    if len(pattern) > MAX_PATTERN:
        return f"is too long; allowed: {MAX_PATTERN} characters"
    try:
        re.compile(pattern)
        items = list(_opened(_parser.parse(pattern)))
    except (re.error, OverflowError, RecursionError) as error:
        return f"does not compile: {error}"
    if _ways(items) > MAX_WAYS:
        return ("could take for ever on a hostile path; allowed: no repeat, option or alternative within what repeats, "
                "and at most two repeats that may run over what follows them (write [^/]+/ for .*/)")
    return ""


def _opened(sequence: Sequence) -> Iterator[Item]:
    """The items of a sequence, groups replaced by what they hold: a group changes nothing about the steps."""
    for operation, argument in sequence:
        if str(operation) == "SUBPATTERN":
            yield from _opened(argument[-1])
        elif str(operation) == "ATOMIC_GROUP":
            yield from _opened(argument)
        else:
            yield operation, argument


def _below(item: Item) -> Iterator[list[Item]]:
    """The sequences that an item holds: the repeated one, each alternative, an assertion's."""
    waiting = [item[1]]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _parser.SubPattern):
            yield list(_opened(part))
        elif isinstance(part, (tuple, list)):
            waiting.extend(part)


def _ways(items: list[Item]) -> int:
    """In how many ways the items can share a path, at most; TOO_MANY stands for all that is more."""
    ways = 1
    for item, following in zip(items, [*items, None][1:], strict=True):
        name, below = str(item[0]), [_ways(sequence) for sequence in _below(item)]
        if name in _REPEATS:
            ways *= _ways_to_repeat(item, following, below[0])
        elif name in ("BRANCH", "GROUPREF_EXISTS"):
            ways *= sum(below)
        else:
            ways *= math.prod(below)
        ways = min(ways, TOO_MANY)
    return ways


def _ways_to_repeat(item: Item, following: Item | None, ways_once: int) -> int:
    least, most, _ = item[1]
    if ways_once == 1:
        if least == most or (following is not None and _ends(item, following)):
            return 1
        return int(most - least) + 1 if most < MANY else LONGEST_PATH
    if most >= MANY:
        return TOO_MANY
    return sum(min(ways_once**times, TOO_MANY) for times in range(least, most + 1))


def _ends(repeat: Item, following: Item) -> bool:
    """Whether `following` is one character that `repeat` cannot take."""
    taken = list(_opened(repeat[1][2]))
    if str(following[0]) != "LITERAL" or len(taken) != 1:
        return False
    char = chr(following[1])
    return not any(_takes(taken[0], case) for case in (char, char.lower(), char.upper()))     # (?i) may be on


def _takes(item: Item, char: str) -> bool:
    """Whether a one-character item matches `char`; True when we cannot tell."""
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return bool(argument == ord(char))
    if name == "NOT_LITERAL":
        return bool(argument != ord(char))
    if name == "RANGE":
        return bool(argument[0] <= ord(char) <= argument[1])
    if name == "CATEGORY":
        return bool(re.fullmatch(_CATEGORIES[str(argument)], char))
    if name == "IN":
        negated = str(argument[0][0]) == "NEGATE"
        return any(_takes(member, char) for member in argument[negated:]) is not negated
    return True
