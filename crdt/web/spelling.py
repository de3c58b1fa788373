"""What requests spell and answers carry: keys, values, stamps and conditions over HTTP."""
from __future__ import annotations

import binascii
import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec
from msgspec import UNSET, UnsetType

from hotpath.core.data.lww import Stamp, pack, parse
from hotpath.core.serve import Request, RequestError, Response, problem

OCTETS = "application/octet-stream"
JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"

# By the tag of what is stored.
TYPES = (OCTETS, JSON)

KEY_PREFIX = "/kv/"

RETRY = (("Retry-After", "1"),)

Body = TypeVar("Body")


class Item(msgspec.Struct, omit_defaults=True):
    """A key with its stamp and value, as listings show it; of key and value each in the one form that it has."""

    stamp: str
    key: str | UnsetType = UNSET
    key_b64: str | UnsetType = UNSET
    value: msgspec.Raw | UnsetType = UNSET
    value_b64: str | UnsetType = UNSET
    op: str | UnsetType = UNSET             # in changes: put or remove
    live: bool | UnsetType = UNSET          # in snapshots


def item_of(key: bytes, stamp: Stamp, tag: int, body: bytes) -> Item:
    """Of what a table shows; tag -1: removed."""
    item = Item(str(stamp))
    try:
        item.key = key.decode()
    except UnicodeDecodeError:
        item.key_b64 = base64_of(key)
    if tag == 1:
        item.value = msgspec.Raw(body)
    elif tag == 0:
        item.value_b64 = base64_of(body)
    return item


def item_of_cell(cell: bytes) -> tuple[Item, bool]:
    """Of an encoded cell, and whether it is live."""
    key, stamp, live, payload = parse(cell)
    return item_of(key, stamp, payload[0] if live else -1, payload[1:]), live


def base64_of(data: bytes) -> str:
    """Standard alphabet, padded."""
    return binascii.b2a_base64(data, newline=False).decode()


def from_base64(text: str) -> bytes:
    """The bytes; RequestError 422 for what is none."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise RequestError("a member ending in _b64 is not base64 with padding", 422) from None


# Keys

def key_of(rest: str, limit: int) -> bytes:
    """The key that stands behind `/kv/`, percent-decoded once. RequestError 400 or 422."""
    return checked_key(unquote_to_bytes(rest) if "%" in rest else rest.encode("latin-1"), limit)


def checked_length(key: bytes, limit: int) -> bytes:
    """The key itself, of whatever bytes. RequestError 422: empty or too long."""
    if not 0 < len(key) <= limit:
        raise RequestError(f"the key has {len(key)} bytes; allowed: 1 to {limit}", 422)
    return key


def checked_key(key: bytes, limit: int) -> bytes:
    """The key itself. RequestError 400: no UTF-8; 422: empty or too long."""
    checked_length(key, limit)
    if not key.isascii():
        try:
            key.decode()
        except UnicodeDecodeError:
            raise RequestError("the key is not UTF-8") from None
    return key


def path_of(key: bytes) -> str:
    """Where the key is found."""
    return KEY_PREFIX + quote(key, safe="/:@!$&'()*+,;=-._~")


# Bodies

def type_of(request: Request) -> str:
    """The content type without parameters, "" for none."""
    return (request.field("content-type") or "").partition(";")[0].strip().lower()


def payload_of(request: Request, limit: int) -> bytes:
    """The body as a value. RequestError 400, 413, 415."""
    kind = type_of(request)
    if kind == JSON:
        return payload_of_json(decoded(request.body(), object), limit)
    if kind == OCTETS:
        return checked_payload(pack(request.body()), limit)
    raise RequestError(f"a value is {JSON} or {OCTETS}", 415)


def payload_of_json(value: object, limit: int) -> bytes:
    """A JSON value as it is stored."""
    try:
        return checked_payload(pack(value), limit)
    except (ValueError, RecursionError) as error:       # what no other JSON reader would take back
        raise RequestError(f"the value cannot be stored: {error}", 422) from None


def checked_payload(payload: bytes, limit: int) -> bytes:
    """The payload itself. RequestError 413."""
    if len(payload) - 1 > limit:
        raise RequestError(f"the value has {len(payload) - 1} bytes; allowed: up to {limit}", 413)
    return payload


def payload_given(value: Any, value_b64: str | UnsetType, limit: int) -> bytes:   # noqa: ANN401 - any JSON value
    """Of the two members that give a value, exactly one. RequestError 422, 413."""
    if (value is UNSET) == (value_b64 is UNSET):
        raise RequestError("a value is given by value or by value_b64, exactly one of them", 422)
    if isinstance(value_b64, str):
        return checked_payload(pack(from_base64(value_b64)), limit)
    return payload_of_json(value, limit)


def body_of(request: Request, model: type[Body]) -> Body:
    """A JSON body of this shape. RequestError 400, 413, 415, 422."""
    if type_of(request) != JSON:
        raise RequestError(f"the body is not declared as {JSON}", 415)
    return decoded(request.body(), model)


def decoded(body: bytes, model: type[Body]) -> Body:
    """JSON of this shape; of a member that comes twice, the last. RequestError: 400 no JSON, 422 another shape."""
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise RequestError(str(error), 422) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"not JSON: {error}") from None
    except RecursionError:
        raise RequestError("the JSON is nested too deeply") from None


# Queries

def query_of(request: Request) -> dict[str, str]:
    """The parameters of the query; of one that comes twice, the last. RequestError 400: no UTF-8."""
    text = request.query_string
    if not text:
        return {}
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100))
    except UnicodeDecodeError:
        raise RequestError("the query is not UTF-8") from None
    except ValueError:
        raise RequestError("more than 100 parameters in the query") from None


def limit_of(query: dict[str, str]) -> int:
    """`limit`, 1 to 1000. RequestError 422."""
    text = query.get("limit", "100")
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= 1000):
        raise RequestError(f"limit {text!r} is not allowed; allowed: 1 to 1000", 422)
    return int(text)


def flag_of(query: dict[str, str], name: str) -> bool:
    """`true` or `false`, which is the default. RequestError 422."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise RequestError(f"{name} {text!r} is not allowed; allowed: true or false", 422)
    return text == "true"


# Answers

def stamped(stamp: Stamp | None) -> tuple[tuple[str, str], ...]:
    """The fields that say it."""
    if stamp is None:
        return ()
    text = str(stamp)
    return ("ETag", f'"{text}"'), ("LWW-Stamp", text)


def absent(stamp: Stamp | None) -> Response:
    """404, naming the tombstone if there is one."""
    if stamp is None:
        return problem(404, detail="no such key")
    return problem(404, detail="the key was removed", headers=(("LWW-Tombstone", str(stamp)),))


def accepts(request: Request, kind: str) -> bool:
    """Whether Accept names this type itself and does not refuse it."""
    for part in (request.field("accept") or "").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == kind:
            return not any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return False
