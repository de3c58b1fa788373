"""Can a stranger's path make this regular expression slow?

Python's `re` backtracks: `^(a+)+$` needs 2**n steps on n letters. A route's pattern runs on paths that anybody may
send, so what can explode is refused when the config is read. We bound the ways in which the pieces of a pattern can
share a path among them, as each may be tried, and the steps that trying them takes.

The bound is coarse on purpose: it refuses some harmless patterns, and lets no exponential one pass. What may repeat
many times must hold no repeat, option or alternative. A repeat is loose unless a character ends it which it cannot
take itself (`.*/` is loose, `[^/]+/` is not); each loose one multiplies ways and steps by the length of the path, and
so does a pattern that may begin anywhere. Two such factors are allowed, three are not.
"""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from re import _parser  # type: ignore[attr-defined]  # the public face, sre_parse, is deprecated
from typing import Any, NamedTuple

# The longest path that is matched, in bytes.
LONGEST_PATH = 2048
# Two factors, and a few alternatives: `^(.*)x(.*)y$` takes 13 to 46 ms on the worst path, without its ^ 17 s.
MAX_STEPS = 8 * LONGEST_PATH**2
TOO_MANY = MAX_STEPS + 1
# So many repeats of something that varies are taken for endless.
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


class Cost(NamedTuple):
    """What a piece of a pattern costs at most; TOO_MANY stands for all that is more."""

    ways: int       # to match, from one place on
    steps: int      # to try them all; single characters are free
    varies: bool    # whether it may match more than one length, or one of several alternatives


def fault_of(pattern: str) -> str:
    """Why `pattern` is refused, as the rest of a sentence; "" when it is fine."""
    if len(pattern) > MAX_PATTERN:
        return f"is too long; allowed: {MAX_PATTERN} characters"
    try:
        re.compile(pattern)
        items = list(_opened(_parser.parse(pattern)))
    except (re.error, OverflowError, RecursionError) as error:
        return f"does not compile: {error}"
    cost = _cost(items)
    starts = 1 if items and str(items[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING") else LONGEST_PATH
    if starts * max(cost.ways, cost.steps) > MAX_STEPS:
        return ("could take for ever on a hostile path; allowed: a ^ in front, no repeat, option or alternative within "
                "what repeats, and at most two repeats that may run over what follows them (write [^/]+/ for .*/)")
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


def _cost(items: list[Item]) -> Cost:
    ways, steps, varies = 1, 0, False
    for item, following in zip(items, [*items, None][1:], strict=True):
        name, below = str(item[0]), [_cost(sequence) for sequence in _below(item)]
        if name in _REPEATS:
            cost = _cost_of_repeat(item, following, below[0])
        elif name in ("BRANCH", "GROUPREF_EXISTS"):
            cost = Cost(sum(one.ways for one in below), sum(one.steps for one in below), True)
        else:
            cost = Cost(
                math.prod(one.ways for one in below),
                sum(one.steps for one in below),
                any(one.varies for one in below),
            )
        steps = min(steps + ways * cost.steps, TOO_MANY)
        ways = min(ways * cost.ways, TOO_MANY)
        varies = varies or cost.varies
    return Cost(ways, steps, varies)


def _cost_of_repeat(repeat: Item, following: Item | None, once: Cost) -> Cost:
    least, most = int(repeat[1][0]), int(repeat[1][1])
    if once.varies and most >= MANY:
        return Cost(TOO_MANY, TOO_MANY, True)
    if once.varies:
        ways = [min(once.ways**times, TOO_MANY) for times in range(most + 1)]
        return Cost(sum(ways[least:]), sum(ways[:most]) * max(1, once.steps), True)
    steps = min(most, LONGEST_PATH) * max(1, once.steps)
    if least == most or (following is not None and _ends(repeat, following)):
        return Cost(1, steps, least != most)
    return Cost(min(most - least + 1, LONGEST_PATH), steps, True)


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
