"""Which Python values a column takes, and in which one form it keeps each."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from hotpath.shard.schema import BIGINT_RANGE, INT_RANGE, Column

# What DATETIME of MySQL and MariaDB is specified for; both engines keep microseconds.
FIRST_MOMENT: Final = datetime(1000, 1, 1, tzinfo=UTC)
LAST_MOMENT: Final = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

_ZERO = datetime(1970, 1, 1)
_ZERO_UTC = _ZERO.replace(tzinfo=UTC)

# As MySQL's own JSON.
MAX_DEPTH: Final = 100
# Of an integer in JSON: longer ones are slow to spell, and Python refuses beyond 4300 digits.
MAX_JSON_BITS: Final = 1024

MAX_SHOWN: Final = 40
MAX_LISTED: Final = 30

# Of more digits than any column has; a digit that would be lost is an error.
_EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation])


def shown(value: object) -> str:
    """`value` as a message quotes it: as JSON spells it where it can be, cut when long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, str | bytes):
        value = value[: MAX_SHOWN + 1]
    elif isinstance(value, int) and value.bit_length() > MAX_JSON_BITS:
        return "an integer of many digits"
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def listed(columns: Sequence[Column]) -> str:
    """Their names, the first of them, as a message lists what is allowed."""
    return ", ".join(column.name for column in columns[:MAX_LISTED]) + (", …" if len(columns) > MAX_LISTED else "")


def checked(column: Column, value: object) -> object:
    """`value`, which is not None, as `column` keeps it. Raises ValueError: what is wrong; what is allowed."""
    return CHECKS[column.kind](column, value)


def whole(value: object, low: int, high: int) -> int:
    """An integer of the range, and no bool. Raises ValueError."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{shown(value)} is no integer; allowed: {low} to {high}")
        value = int(value)
    if not low <= value <= high:
        raise ValueError(f"{shown(value)} is out of range; allowed: {low} to {high}")
    return value


def real(value: object) -> float:
    """A finite number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is no number; allowed: a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is out of range; allowed: a finite number of 64 bits")
    # The engines do not agree on the sign of a zero: 0.0 is the only one.
    return number + 0.0


def exact(value: object, *, digits: int, scale: int) -> Decimal:
    """A Decimal with exactly `scale` digits behind the point, equal to `value`. Raises ValueError."""
    allowed = f"allowed: up to {digits - scale} digits before the point and {scale} behind it"
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{shown(value)} is no decimal; {allowed}")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{number} is no decimal; {allowed}")
    if number.is_zero():
        number = Decimal(0)         # of no sign and exponent
    # Compared before anything is spelled out: 1E+1000000 is short only as it stands.
    if number.adjusted() >= digits - scale and number:
        raise ValueError(f"{shown(number)} is too large; {allowed}")
    try:
        return number.quantize(Decimal((0, (1,), -scale)), context=_EXACT)
    except (Inexact, InvalidOperation):
        raise ValueError(f"{shown(number)} has too many digits; {allowed}") from None


def plain_text(value: object) -> str:
    """A string that both engines and UTF-8 take: no U+0000, no half of a surrogate pair. Raises ValueError."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is no string; allowed: a string")
        value = str.__str__(value)
    if "\0" in value:
        raise ValueError("it has U+0000 in it; allowed: any other character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it has a lone surrogate in it; allowed: whole characters") from None
    return value


def octets(value: object) -> bytes:
    """Bytes. Raises ValueError."""
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ValueError(f"{shown(value)} is no bytes; allowed: bytes")
    return bytes(value)


def moment(value: object) -> datetime:
    """A moment of known offset, in UTC. Raises ValueError."""
    allowed = "allowed: the years 1000 to 9999 of UTC"
    if not isinstance(value, datetime):
        raise ValueError(f"{shown(value)} is no datetime; {allowed}")
    if value.utcoffset() is None:
        raise ValueError("the datetime has no offset; allowed: an aware one")
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value.isoformat()} is out of range; {allowed}") from None
    if not FIRST_MOMENT <= utc <= LAST_MOMENT:
        raise ValueError(f"{value.isoformat()} is out of range; {allowed}")
    if type(utc) is not datetime:
        utc = datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)
    return utc


def naive(value: datetime) -> datetime:
    """A moment in UTC without its offset. The sum costs a tenth of `replace`, and runs for each row."""
    return _ZERO + (value - _ZERO_UTC)


def aware(value: datetime) -> datetime:
    """A naive moment of UTC with its offset."""
    return _ZERO_UTC + (value - _ZERO)


def document(value: object) -> object:
    """A value that JSON can spell, and not too deep. Raises ValueError."""
    # With a list of our own: a recursion would end with the thread's stack, wherever that is.
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for part in level:
            if part is None or isinstance(part, bool):
                continue
            if isinstance(part, str):
                _check_unicode(part)
            elif isinstance(part, int):
                if part.bit_length() > MAX_JSON_BITS:
                    raise ValueError(f"it has an integer of more than {MAX_JSON_BITS} bits in it")
            elif isinstance(part, float):
                if not math.isfinite(part):
                    raise ValueError(f"it has {part} in it; allowed: finite numbers")
            elif isinstance(part, list):
                below.extend(part)
            elif isinstance(part, dict):
                for name in part:
                    if not isinstance(name, str):
                        raise ValueError(f"it has the name {shown(name)} in it; allowed: strings")
                    _check_unicode(name)
                below.extend(part.values())
            else:
                raise ValueError(f"it has {shown(part)} in it; allowed: what JSON has: objects, arrays, strings, "
                                 "numbers, true, false, null")
        if not below:
            return value
        level = below
    raise ValueError(f"it is too deep; allowed: {MAX_DEPTH} levels")


def _check_unicode(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("it has a lone surrogate in it; allowed: whole characters") from None


def _int(_column: Column, value: object) -> int:
    return whole(value, *INT_RANGE)


def _bigint(_column: Column, value: object) -> int:
    return whole(value, *BIGINT_RANGE)


def _double(_column: Column, value: object) -> float:
    return real(value)


def _bool(_column: Column, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{shown(value)} is no bool; allowed: true or false")


def _decimal(column: Column, value: object) -> Decimal:
    return exact(value, digits=column.n, scale=column.s)


def _string(column: Column, value: object) -> str:
    text = plain_text(value)
    if len(text) > column.n:
        raise ValueError(f"it has {len(text)} characters; allowed: up to {column.n}")
    return text


def _text(_column: Column, value: object) -> str:
    return plain_text(value)


def _binary(column: Column, value: object) -> bytes:
    data = octets(value)
    if len(data) > column.n:
        raise ValueError(f"it has {len(data)} bytes; allowed: up to {column.n}")
    return data


def _blob(_column: Column, value: object) -> bytes:
    return octets(value)


def _datetime(_column: Column, value: object) -> datetime:
    return moment(value)


def _json(_column: Column, value: object) -> object:
    return document(value)


CHECKS: Final[dict[str, Callable[[Column, object], object]]] = {
    "int": _int, "bigint": _bigint, "double": _double, "bool": _bool, "decimal": _decimal, "string": _string,
    "text": _text, "binary": _binary, "blob": _blob, "datetime": _datetime, "json": _json,
}
