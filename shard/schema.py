"""What a table is: its columns, its key, and where a key belongs."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from hotpath.core.data.ring import Ring

Kind = Literal["int", "bigint", "double", "bool", "decimal", "string", "text", "binary", "blob", "datetime", "json"]

KINDS: Final = ("int", "bigint", "double", "bool", "decimal(p,s)", "string(n)", "text", "binary(n)", "blob",
                "datetime", "json")
NAME = r"^[a-z][a-z0-9_]{0,47}$"
NAMES = "a-z, 0-9 and _, a letter first, up to 48"

SLOTS = 65536
# A slot's fence is one of so many rows: writers of different slots seldom meet at one.
STRIPES = 64

# The most that VARCHAR and VARBINARY take of 4-byte characters; what is longer is `text` or `blob`.
MAX_STRING = 16383
MAX_BINARY = 65535
# What a key may have: it stands in marks and indexes too.
MAX_KEY = 255
# As MySQL and MariaDB allow.
MAX_DIGITS, MAX_SCALE = 65, 30
# Of an index, in bytes (InnoDB, DYNAMIC rows).
MAX_INDEX_BYTES = 3072

INT_RANGE = (-2**31, 2**31 - 1)
BIGINT_RANGE = (-2**63, 2**63 - 1)

Key = int | str | bytes
# All columns, by name and in order, as Python values.
Row = dict[str, object]

_TYPE = re.compile(r"(?P<kind>[a-z]+)(?:\((?P<n>[0-9]{1,5})(?:, ?(?P<s>[0-9]{1,2}))?\))?(?P<null>\?)?")
_SIMPLE = ("int", "bigint", "double", "bool", "text", "blob", "datetime", "json")
_BYTES_OF = {"int": 4, "bigint": 8, "double": 8, "bool": 1, "datetime": 8}


@dataclass(frozen=True, slots=True)
class Column:
    """One column as declared. `n`: code points, bytes, or digits of a decimal, of which `s` stand behind the point.

    `default` is a Python value, and means something if `has_default`; `is_now`: the moment of the insert.
    """

    name: str
    kind: Kind
    n: int = 0
    s: int = 0
    nullable: bool = False
    has_default: bool = False
    default: object = None
    is_now: bool = False
    generate: bool = False

    @property
    def type(self) -> str:
        """As it is declared: `string(64)`, `text?`."""
        size = f"({self.n},{self.s})" if self.kind == "decimal" else f"({self.n})" if self.n else ""
        return f"{self.kind}{size}{'?' if self.nullable else ''}"

    @property
    def index_bytes(self) -> int | None:
        """What it takes of an index; None: it cannot be in one."""
        if self.kind in ("text", "blob", "json"):
            return None
        if self.kind == "decimal":
            return self.n // 2 + 4
        return _BYTES_OF.get(self.kind) or self.n * (4 if self.kind == "string" else 1) + 2


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One table as declared; equal only to itself, so that what is worked out for it is found fast."""

    name: str
    columns: tuple[Column, ...]
    key_at: int                             # which column the key is
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> Column:
        """The column of the shard key."""
        return self.columns[self.key_at]

    def column(self, name: str) -> Column | None:
        """By its name; None: there is none."""
        return next((column for column in self.columns if column.name == name), None)


def quoted(name: str) -> str:
    """A name in SQL of either dialect: tables and columns may be called `order` or `key`."""
    return f"`{name.replace('`', '``')}`"


def parse_type(text: str) -> tuple[Kind, int, int, bool]:
    """Kind, n, s, nullable of `decimal(10,2)?`. Raises ValueError: what is wrong, what is allowed."""
    found = _TYPE.fullmatch(text)
    refusal = ValueError(f"{text!r} is no type; allowed: {', '.join(KINDS)}, with ? behind it if it may be null")
    if found is None:
        raise refusal
    n, s = (int(found[group]) if found[group] is not None else None for group in ("n", "s"))
    nullable = found["null"] is not None
    match found["kind"], n, s:
        case kind, None, None if kind in _SIMPLE:
            return kind, 0, 0, nullable     # type: ignore[return-value]     # one of Kind, by the line above
        case "string", int(n), None:
            limit = MAX_STRING
            kind = "string"
        case "binary", int(n), None:
            limit = MAX_BINARY
            kind = "binary"
        case "decimal", int(n), int(s):
            if not (1 <= n <= MAX_DIGITS and s <= min(n, MAX_SCALE)):
                raise ValueError(f"{text!r} is out of range; allowed: decimal(p,s), p 1 to {MAX_DIGITS}, s 0 to "
                                 f"{MAX_SCALE} and no more than p")
            return "decimal", n, s, nullable
        case _:
            raise refusal
    if not 1 <= n <= limit:
        raise ValueError(f"{text!r} is out of range; allowed: {kind}(1) to {kind}({limit})")
    return kind, n, 0, nullable             # type: ignore[return-value]     # string or binary


# A ring without nodes still knows each key's place.
hash_of: Callable[[Key], int] = Ring().get_key


def slot_of(key: Key) -> int:
    """Which of the 65,536 slots `key` is in: the first 16 bits of its hash."""
    return hash_of(key) >> 48


def mark_of(key: Key) -> bytes:
    """A key as its mark has it: bytes that sort as the keys do."""
    if isinstance(key, int):
        return (key + 2**63).to_bytes(8, "big")
    return key.encode() if isinstance(key, str) else key


def key_of_mark(table: Table, mark: bytes) -> Key:
    """The key whose mark this is."""
    if table.key.kind == "bigint":
        return int.from_bytes(mark, "big") - 2**63
    return mark.decode() if table.key.kind == "string" else mark
