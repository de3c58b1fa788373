"""A statement as a person would write it: with its values, without what only the machine needs."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .tables import PREFIX

Values = Sequence[object] | Mapping[str, object]

# `?`, `%s`, `%(name)s`, and what psycopg is told of the type.
PLACE = re.compile(r"(?:\?|%s|%\((?P<name>\w+)\)s)(?:::[A-Z]+)?")
LABEL = re.compile(r" AS \w+")
# Not where a value's name begins with that of its table.
NOISE = re.compile(rf"(?<!%\()\b{PREFIX}(?:\w+\.)?| FORCE INDEX \(PRIMARY\)")


def spelled(statement: str, values: Values, mark: str) -> str:
    """`SELECT id, amount FROM stock WHERE id = 'tea'`: `mark` is what the play adds to its keys."""
    rest = iter(() if isinstance(values, Mapping) else values)

    def value(place: re.Match[str]) -> str:
        name = place["name"]
        return literal(values[name] if isinstance(values, Mapping) and name else next(rest))

    text = " ".join(NOISE.sub("", LABEL.sub("", statement)).split())
    return PLACE.sub(value, text).replace(mark, "")


def literal(value: object) -> str:
    """As SQL writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
