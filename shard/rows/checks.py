"""Whether a body is a row of the table, or changes of one: all that is wrong with it is said at once."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from hotpath.core.errors import InvalidRow
from hotpath.shard.schema import BIGINT_RANGE, Column, Key, Row, Table

from .kinds import CHECKS, listed, real, shown, whole
from .values import JSON_READERS, utc_now

Reader = Callable[[Column, object], object]
Errors = list[dict[str, str]]

# Of one body, in an answer.
MAX_ERRORS: Final = 50

ADD: Final = "$add"
# What may be added; any two values of an `int` are no further apart.
_ADDS = {"int": (-2**32 + 1, 2**32 - 1), "bigint": BIGINT_RANGE}

_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update changes: `sets` to a value, and `adds` a number to what is there, null counting as 0.

    Both may be empty: then the update only asks whether there is such a row.
    """

    sets: Row
    adds: dict[str, int | float]


def row_of_json(table: Table, body: object, *, key: Key | None = None, generate: bool = True,
                limit: int | None = None, now: Callable[[], datetime] = utc_now) -> Row:
    """The whole row that `body` means, all columns in order. Raises InvalidRow with all mistakes.

    `key`: what the path says; `body` may leave it out. Without both, a key that can be generated becomes None, if
    `generate`. `limit`: bytes of all values, as UTF-8 and JSON.
    """
    return _row(table, body, JSON_READERS, key, generate, limit, now)


def row_of_python(table: Table, row: object, *, key: Key | None = None, generate: bool = True,
                  limit: int | None = None, now: Callable[[], datetime] = utc_now) -> Row:
    """As `row_of_json`, of Python values."""
    return _row(table, row, CHECKS, key, generate, limit, now)


def changes_of_json(table: Table, body: object, *, key: Key | None = None, limit: int | None = None) -> Changes:
    """The changes that `body` means. Raises InvalidRow with all mistakes.

    `key`: of the row; `body` may repeat it. An int, bigint or double takes {"$add": n} too. Whether a sum fits only
    the database knows. `limit`: bytes of all values of `body`.
    """
    return _changes(table, body, JSON_READERS, key, limit)


def changes_of_python(table: Table, changes: object, *, key: Key | None = None, limit: int | None = None) -> Changes:
    """As `changes_of_json`, of Python values."""
    return _changes(table, changes, CHECKS, key, limit)


def key_of_python(table: Table, key: object) -> Key:
    """A key as its column keeps it. Raises InvalidRow."""
    column = table.key
    try:
        if key is None:
            raise ValueError("null is no key")
        return CHECKS[column.kind](column, key)     # type: ignore[return-value]    # one of Key: the kinds of keys
    except ValueError as error:
        raise InvalidRow([_error(column.name, str(error))]) from None


def _error(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}


def _row(table: Table, body: object, readers: Mapping[str, Reader], key: Key | None, generate: bool,
         limit: int | None, now: Callable[[], datetime]) -> Row:
    members = _members(body)
    row: Row = {}
    errors: Errors = []
    known = 0
    for column in table.columns:
        name = column.name
        given = members.get(name, _MISSING)
        if given is not _MISSING:
            known += 1
            row[name] = _read(column, given, readers, errors)
        elif column.has_default:
            row[name] = column.default
        elif column.is_now:
            row[name] = now()
        elif column is table.key and (key is not None or (column.generate and generate)):
            row[name] = key
        elif column.nullable:
            row[name] = None
        else:
            errors.append(_error(name, f"is missing; allowed: {column.type}"))
    if known != len(members):
        _name_unknown(table, members, errors)
    if key is not None and not errors and row[table.key.name] != key:
        errors.append(_key_differs(table, key))
    if errors:
        raise InvalidRow(errors[:MAX_ERRORS])
    if limit is not None and largest_row(table) > limit:
        _check_size(row, limit)
    return row


def _changes(table: Table, body: object, readers: Mapping[str, Reader], key: Key | None, limit: int | None) -> Changes:
    members = _members(body)
    changes = Changes({}, {})
    errors: Errors = []
    known = 0
    for column in table.columns:
        name = column.name
        given = members.get(name, _MISSING)
        if given is _MISSING:
            continue
        known += 1
        if column is table.key:
            before = len(errors)
            if _read(column, given, readers, errors) != key and before == len(errors):
                errors.append(_key_differs(table, key))
        elif isinstance(given, dict) and ADD in given and column.kind in ("int", "bigint", "double"):
            try:
                changes.adds[name] = _addend(column, given)
            except ValueError as error:
                errors.append(_error(name, str(error)))
        else:
            changes.sets[name] = _read(column, given, readers, errors)
    if known != len(members):
        _name_unknown(table, members, errors)
    if errors:
        raise InvalidRow(errors[:MAX_ERRORS])
    if limit is not None and largest_row(table) > limit:
        _check_size(changes.sets, limit)
    return changes


def _members(body: object) -> Mapping[Any, object]:
    if not isinstance(body, Mapping):
        raise InvalidRow([_error("", f"{shown(body)} is no object; allowed: an object with a member for each column")])
    return body


def _read(column: Column, given: object, readers: Mapping[str, Reader], errors: Errors) -> object:
    # None where it is an error: nobody uses a row that has one.
    try:
        if given is not None:
            return readers[column.kind](column, given)
        if not column.nullable:
            raise ValueError(f"null is not allowed; allowed: {column.type}")
    except ValueError as error:
        errors.append(_error(column.name, str(error)))
    return None


def _addend(column: Column, given: dict[Any, object]) -> int | float:
    if len(given) != 1:
        raise ValueError(f'it has other members beside "{ADD}"; allowed: {{"{ADD}": n}}')
    n = given[ADD]
    return real(n) if column.kind == "double" else whole(n, *_ADDS[column.kind])


def _name_unknown(table: Table, members: Mapping[Any, object], errors: Errors) -> None:
    names = {column.name for column in table.columns}
    allowed = listed(table.columns)
    for name in members:
        if name not in names:
            text = shown(name)
            errors.append(_error(text.strip("'"), f"{text} is no column of {table.name}; allowed: {allowed}"))
            if len(errors) >= MAX_ERRORS:
                return


def _key_differs(table: Table, key: Key | None) -> dict[str, str]:
    allowed = "" if key is None else f"; allowed: {shown(key)}"
    return _error(table.key.name, f"the key of a row never changes{allowed}")


# What a character, a digit or a number takes at most.
_WIDEST = {"string": 4, "binary": 1, "decimal": 1}
_NUMBER_BYTES = 32


@lru_cache(maxsize=1024)
def largest_row(table: Table) -> float:
    """Bytes that the values of a row of the table may take; infinite with a text, blob or json."""
    return sum(float("inf") if column.kind in ("text", "blob", "json")
               else column.n * _WIDEST.get(column.kind, 0) or _NUMBER_BYTES for column in table.columns)


def _check_size(row: Row, limit: int) -> None:
    size = sum(map(_bytes_of, row.values()))
    if size > limit:
        raise InvalidRow([_error("", f"the values have {size} bytes; allowed: up to {limit} in a row")])


def _bytes_of(value: object) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    return len(msgspec.json.encode(value)) if isinstance(value, dict | list) else _NUMBER_BYTES
