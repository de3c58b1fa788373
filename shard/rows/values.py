"""How JSON and URLs spell the values of columns."""
from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from hotpath.shard.schema import Column, Key, Row, Table

from .kinds import CHECKS, checked, shown

# RFC 3339; six digits of a second are what is kept.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:[0-5]\d)", re.ASCII)
_MOMENT_CHARACTERS = len("2026-01-31T12:00:00.000000Z")
_DECIMAL = re.compile(r"-?[0-9]{1,200}(?:\.[0-9]{1,200})?")
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_REAL = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_URL_ALPHABET = str.maketrans("+/", "-_", "=")
_STANDARD_ALPHABET = str.maketrans("-_", "+/")


# From JSON

def of_json(column: Column, value: object) -> object:
    """The Python value of a JSON value that is not null. Raises ValueError: what is wrong; what is allowed."""
    return JSON_READERS[column.kind](column, value)


def _decimal_of_json(column: Column, value: object) -> object:
    if not isinstance(value, str) or _DECIMAL.fullmatch(value) is None:
        raise ValueError(f'{shown(value)} is no decimal; allowed: a string as "-12.30"')
    return checked(column, Decimal(value))


def _bytes_of_json(column: Column, value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no string; allowed: base64 in a string")
    try:
        data = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("it is not base64 with padding") from None
    return checked(column, data)


def _moment_of_json(column: Column, value: object) -> object:
    if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
        raise ValueError(f'{shown(value)} is no datetime; allowed: a string as "2026-01-31T12:00:00.000000Z", with Z '
                         "or an offset, and up to 6 digits of a second")
    try:
        given = datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise ValueError(f"{shown(value)} is no datetime: {error}") from None
    return checked(column, given)


JSON_READERS: Final[dict[str, Callable[[Column, object], object]]] = {
    **CHECKS, "decimal": _decimal_of_json, "binary": _bytes_of_json, "blob": _bytes_of_json,
    "datetime": _moment_of_json,
}


# To JSON

def moment_text(value: datetime) -> str:
    """As JSON and SQLite's files spell it: always of 27 characters, so that it sorts as time does."""
    # msgspec leaves out microseconds that are zero; it takes a fifth of the time of isoformat().
    text: str = msgspec.to_builtins(value)
    return text if len(text) == _MOMENT_CHARACTERS else f"{text[:-1]}.000000Z"


def decimal_text(value: Decimal) -> str:
    """As JSON and SQLite's files spell it; str() would make an exponent of many zeros."""
    return format(value, "f")


def base64_text(value: bytes) -> str:
    """Standard alphabet, padded."""
    return binascii.b2a_base64(value, newline=False).decode()


JSON_WRITERS: Final[dict[str, Callable[[Any], object]]] = {
    "decimal": decimal_text, "binary": base64_text, "blob": base64_text, "datetime": moment_text,
}


def json_value(column: Column, value: object) -> object:
    """A Python value as JSON has it."""
    write = JSON_WRITERS.get(column.kind)
    return value if write is None or value is None else write(value)


@lru_cache(maxsize=1024)
def _writers(table: Table) -> tuple[tuple[str, Callable[[Any], object]], ...]:
    # Only the columns that JSON spells in another way.
    return tuple((column.name, JSON_WRITERS[column.kind]) for column in table.columns if column.kind in JSON_WRITERS)


def json_row(table: Table, row: Row) -> Row:
    """A row, or some columns of one, as JSON has it. It may be `row` itself, or share what is in it."""
    writers = _writers(table)
    if not writers:
        return row
    row = row.copy()
    for name, write in writers:
        value = row.get(name)
        if value is not None:
            row[name] = write(value)
    return row


def json_key(table: Table, key: Key) -> int | str:
    """A key as JSON has it."""
    return base64_text(key) if isinstance(key, bytes) else key


# URLs

def of_text(column: Column, text: str) -> object:
    """The Python value that a parameter of a query spells. Raises ValueError: what is wrong; what is allowed."""
    match column.kind:
        case "int" | "bigint":
            if _WHOLE.fullmatch(text) is None:
                raise ValueError(f"{shown(text)} is no integer; allowed: one in decimal digits")
            return checked(column, int(text))
        case "double":
            if _REAL.fullmatch(text) is None:
                raise ValueError(f"{shown(text)} is no number; allowed: a finite number")
            return checked(column, float(text))
        case "bool":
            return bool_of_text(text)
        case "binary" | "blob":
            return checked(column, bytes_of_base64url(text.translate(_URL_ALPHABET)))
        case "json":
            raise ValueError("JSON cannot be compared; allowed: null")
    return of_json(column, text)


def bool_of_text(text: str) -> bool:
    """Of `true` and `false`. Raises ValueError."""
    if text not in ("true", "false"):
        raise ValueError(f"{shown(text)} is not allowed; allowed: true or false")
    return text == "true"


def bytes_of_base64url(text: str) -> bytes:
    """The bytes; what is written differently and means the same is refused: a key has one URL. Raises ValueError."""
    data = b""
    if _BASE64URL.fullmatch(text) is not None and len(text) % 4 != 1:
        data = binascii.a2b_base64(text.translate(_STANDARD_ALPHABET) + "=" * (-len(text) % 4))
    if base64url_text(data) != text:
        raise ValueError(f"{shown(text)} is not base64url without padding")
    return data


def base64url_text(data: bytes) -> str:
    """Of RFC 4648 section 5, without padding."""
    return base64_text(data).translate(_URL_ALPHABET)


def key_of_text(table: Table, text: str) -> Key:
    """The key that a parameter of a query, or a segment of a path, spells once its percents are decoded.

    Each key has one spelling, a binary one also with padding. Raises ValueError for what is no key of any row.
    """
    column = table.key
    key: Any
    if column.kind == "bigint":
        key = of_text(column, text)
        if str(key) != text:
            raise ValueError(f"{shown(text)} is not how the key {key} is spelled; allowed: {key}")
    elif column.kind == "binary":
        # Libraries write it with padding: all of it is taken, and a part of it is not.
        unpadded = text.rstrip("=")
        if len(text) != len(unpadded) and len(text) != len(unpadded) + -len(unpadded) % 4:
            raise ValueError(f"{shown(text)} is not base64url")
        key = checked(column, bytes_of_base64url(unpadded))
    else:
        key = checked(column, text)
    return key      # type: ignore[no-any-return]       # one of Key: the kinds that keys have


def key_of_path(table: Table, segment: str) -> Key:
    """The key that the last segment of a path spells, as it was sent. Raises ValueError for what is no key."""
    if "%" in segment:
        try:
            segment = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise ValueError(f"{shown(segment)} is not UTF-8") from None
    return key_of_text(table, segment)


def path_of_key(table: Table, key: Key) -> str:
    """The segment that `key_of_path` reads."""
    if isinstance(key, bytes):
        return base64url_text(key)
    if isinstance(key, int):
        return str(key)
    # A segment of dots alone would be taken for a step in the tree.
    return key.replace(".", "%2E") if key in (".", "..") else quote(key, safe="!$&'()*+,;=:@-._~")


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
