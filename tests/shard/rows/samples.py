"""Tables with a column of every type, and values that reach as far as the types do."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import strategies as st

from hotpath.shard.rows.kinds import naive
from hotpath.shard.schema import BIGINT_RANGE, INT_RANGE, Column, Table, parse_type


def column(declared: str, name: str = "c") -> Column:
    kind, n, s, nullable = parse_type(declared)
    return Column(name, kind, n, s, nullable)


TYPES = {
    "whole": "int?", "long": "bigint?", "number": "double?", "flag": "bool?", "price": "decimal(12,3)?",
    "wide_price": "decimal(65,30)?", "word": "string(64)?", "line": "string(1000)?", "page": "string(5000)?",
    "body": "text?", "token": "binary(300)?", "data": "blob?", "moment": "datetime?", "document": "json?",
}
SORTED = [name for name, declared in TYPES.items() if not declared.startswith("json")]


def table_by(key: str) -> Table:
    """A table with all of them, keyed by a column `id` of this type."""
    columns = [column(key, "id"), *(column(declared, name) for name, declared in TYPES.items())]
    return Table("everything", tuple(columns), 0)


BY_NUMBER, BY_STRING, BY_BYTES = map(table_by, ("bigint", "string(255)", "binary(255)"))

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
# What sorts wrongly where anything folds, pads, normalizes or compares UTF-16.
TRICKY = st.sampled_from(["", "a", "A", "a ", "a\t", "é", "e\u0301", "\U0001f600", "\uffff", "ß", "ss", "\x01", "\x1a",
                          "'\\\"%_?", "\u200b", "İ", "\r\n"])


def texts(longest: int) -> st.SearchStrategy[str]:
    """Strings that often begin in the same way, and sometimes differ only at their end."""
    long = st.builds(lambda character, n, end: (character * n)[: longest - len(end)] + end,
                     st.sampled_from("x\U0001f600"), st.sampled_from([250, 341, 999, 4990]), st.sampled_from("ab"))
    return st.one_of(TRICKY, st.text(CHARACTERS, max_size=min(longest, 8)), *([long] if longest >= 1000 else []))


def octets(longest: int) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"\0", b"\0\0", b"\xff", b"\x80a", b"a" * longest]))


def whole_numbers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([low, low + 1, -1, 0, 1, high - 1, high]), st.integers(low, high))


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return whole_numbers(-most, most).map(lambda n: Decimal(f"{n}E-{scale}"))


DOUBLES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e308, 1.7976931348623157e308, 0.1, 0.1 + 0.2, 1e16, 1 / 3]))
MOMENTS = st.one_of(
    st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])),
    st.sampled_from([datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
                     datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 2, 28, 23, 59, 59, 1, tzinfo=UTC)]))
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2**70, 2**70), DOUBLES, st.text(st.characters(
        exclude_categories=["Cs"]), max_size=4)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(CHARACTERS, max_size=3), below,
                                                                         max_size=3)), max_leaves=6,
).filter(lambda document: document is not None)


def values(of: Column) -> st.SearchStrategy[object]:
    """Values that the column takes, null among them where it may be."""
    strategies: dict[str, st.SearchStrategy[object]] = {
        "int": whole_numbers(*INT_RANGE), "bigint": whole_numbers(*BIGINT_RANGE), "double": DOUBLES,
        "bool": st.booleans(), "decimal": decimals(of.n, of.s), "string": texts(of.n), "text": texts(6000),
        "binary": octets(of.n), "blob": octets(9000), "datetime": MOMENTS, "json": DOCUMENTS,
    }
    strategy = strategies[of.kind]
    return st.one_of(strategy, strategy, strategy, strategy, st.none()) if of.nullable else strategy


def rows(table: Table) -> st.SearchStrategy[dict[str, object]]:
    """Whole rows as a caller gives them."""
    return st.fixed_dictionaries({one.name: values(one) for one in table.columns})


def same(a: object, b: object) -> bool:
    """Equal, of the same type, and of the same spelling: neither 1 == 1.0 nor 1.5 == 1.50 will do."""
    if isinstance(a, datetime) and isinstance(b, datetime):
        return a.tzinfo is UTC is b.tzinfo and naive(a) == naive(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)
