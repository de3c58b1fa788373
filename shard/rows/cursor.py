"""Where a page ended, as a text that goes back with the next request of the same query."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hotpath.core.data.murmur import hash_bytes
from hotpath.shard.schema import Row, Table

from .filters import Filter
from .sorting import Order
from .values import base64url_text, bytes_of_base64url, json_value, of_json

_CHECK_BYTES: Final = 8


def cursor_of(table: Table, where: Sequence[Filter], orders: Sequence[Order], place: Sequence[object]) -> str:
    """Base64url of a check of the query, and of `place`: what the last row has in the columns of `orders`."""
    values = [json_value(order.column, value) for order, value in zip(orders, place, strict=True)]
    return base64url_text(_check(table, where, orders) + msgspec.json.encode(values))


def place_of(table: Table, where: Sequence[Filter], orders: Sequence[Order], text: str) -> tuple[object, ...]:
    """The `place` of a cursor that `cursor_of` made for the same query. Raises ValueError for any other text.

    It is checked, not signed: one made by hand begins at some other place, and shows nothing that is hidden.
    """
    refusal = ValueError("the cursor is not one of ours; allowed: `next` of the page before, as it came")
    try:
        data = bytes_of_base64url(text)
        values = msgspec.json.decode(data[_CHECK_BYTES:], type=list)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise refusal from None
    if data[:_CHECK_BYTES] != _check(table, where, orders):
        raise ValueError("the cursor is of another query; allowed: with the table, where and order of the page before")
    if len(values) != len(orders):
        raise refusal
    place = []
    for order, value in zip(orders, values, strict=True):
        if value is None and not order.column.nullable:
            raise refusal
        try:
            place.append(None if value is None else of_json(order.column, value))
        except ValueError:
            raise refusal from None
    return tuple(place)


def last_of(orders: Sequence[Order], row: Row) -> tuple[object, ...]:
    """The place of a row."""
    return tuple(order.value(row) for order in orders)


def _check(table: Table, where: Sequence[Filter], orders: Sequence[Order]) -> bytes:
    conditions = sorted((one.column.name, one.op, msgspec.json.encode(
        one.value if one.op == "null" else json_value(one.column, one.value)).decode()) for one in where)
    query = [table.name, conditions, [(one.column.name, one.column.type, one.descending) for one in orders]]
    return hash_bytes(msgspec.json.encode(query).decode())[:_CHECK_BYTES]
