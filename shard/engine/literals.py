"""A value as the text that MySQL reads as exactly this value.

Holds under what `mysql.py` sets on each connection: utf8mb4, and backslashes that escape.
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any

from . import Value, Values
from .errors import OutOfRange, StatementRefused
from .statement import Statement


def _null(_value: object) -> bytes:
    return b"NULL"


def _int(value: int) -> bytes:
    return b"%d" % value


def _float(value: float) -> bytes:
    if not isfinite(value):
        raise OutOfRange(f"{value} is no number")
    text = repr(value)
    # Without an exponent it would be read as a DECIMAL.
    return text.encode() if "e" in text else f"{text}e0".encode()


def _decimal(value: Decimal) -> bytes:
    if not value.is_finite():
        raise OutOfRange(f"{value} is no number")
    return format(value, "f").encode()


# The server counts bytes, so that of all bytes only these two need care: no part of a utf-8 character equals them.
def _quoted(data: bytes) -> bytes:
    return data.replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _str(value: str) -> bytes:
    try:
        return b"'%b'" % _quoted(value.encode())
    except UnicodeEncodeError as error:
        raise OutOfRange(f"a string with a lone surrogate at {error.start}") from None


def _bytes(value: bytes) -> bytes:
    return b"_binary'%b'" % _quoted(value)


def _datetime(value: datetime) -> bytes:
    return b"'%b'" % value.isoformat(" ").encode()


_LITERAL: dict[type, Callable[[Any], bytes]] = {
    int: _int, str: _str, bytes: _bytes, type(None): _null, float: _float, bool: _int, Decimal: _decimal,
    datetime: _datetime,
}


def literal(value: Value) -> bytes:
    """Raises OutOfRange for what no column can hold."""
    write = _LITERAL.get(type(value))
    if write is None:
        raise StatementRefused(f"no value for a statement: {type(value).__name__}")
    return write(value)


def render(statement: Statement, values: Values) -> bytes:
    """The whole text. Raises OutOfRange, and StatementRefused for values that are not as many as the places."""
    if not values and not statement.places:
        return statement.template[0]
    text = statement.template.copy()
    try:
        text[1::2] = [_LITERAL[type(value)](value) for value in values]
    except (KeyError, ValueError):
        if len(values) != statement.places:
            raise StatementRefused(f"{len(values)} values for {statement!r}") from None
        text[1::2] = [literal(value) for value in values]      # says which is wrong
    return b"".join(text)
