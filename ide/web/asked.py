"""What a request asks for: queries, conditions and JSON bodies, checked."""
from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from hotpath.core.serve import Request, RequestError, conditions
from hotpath.ide.errors import BadPath, BadRequest, ConditionRequired
from hotpath.ide.files.paths import path_of_query

# Of a JSON body.
MAX_BODY = 1024 * 1024

_NUMBER = re.compile("[0-9]{1,15}")

Body = TypeVar("Body")


def query_of(request: Request) -> dict[str, str]:
    """The parameters as sent, still percent-encoded: a plus is a plus. BadRequest: one comes twice."""
    raw: dict[str, str] = {}
    for part in request.query_string.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        name = text_of(name, "the query")
        if name in raw:
            raise BadRequest(f"{name} comes twice in the query")
        raw[name] = value
    return raw


def text_of(raw: str, what: str) -> str:
    """Percent-decoded. BadRequest: no UTF-8."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{what} is not UTF-8") from None


def path_in(query: Mapping[str, str], *, needed: bool = False) -> bytes:
    """`path`; without one the root. BadPath: none, or the root where it cannot be meant."""
    path = path_of_query(query.get("path", ""))
    if needed and not path:
        raise BadPath("the path is missing, or the project's own folder; allowed: one of what is in it")
    return path


def flag_in(query: Mapping[str, str], name: str) -> bool:
    """0, the default, or 1. BadRequest."""
    value = query.get(name, "0")
    if value not in ("0", "1"):
        raise BadRequest(f"{name} {value!r} is not allowed; allowed: 0 or 1")
    return value == "1"


def number_in(query: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    """A number in this range; None without one. BadRequest."""
    value = query.get(name)
    if value is None:
        return None
    if _NUMBER.fullmatch(value) is None or not least <= int(value) <= most:
        raise BadRequest(f"{name} {value[:20]!r} is not allowed; allowed: {least} to {most}")
    return int(value)


def body_of(request: Request, model: type[Body]) -> Body:
    """A JSON body of this shape. RequestError: 415, 413, 400, 422."""
    kind = (request.field("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError("the body is not declared as application/json", 415)
    return request.json(model)


def has_body(request: Request) -> bool:
    """Whether one was sent, or is on its way."""
    return (request.field("content-length") or "0") != "0" or request.field("transfer-encoding") is not None


# Conditions (RFC 9110 section 13.1)

def match_in(request: Request) -> str | None:
    """The tag of If-Match, bare; None without one. BadRequest, RequestError: not exactly one strong tag."""
    field = request.field("if-match")
    if field is None:
        return None
    tags = conditions.tags_of(field)
    if tags is None or len(tags) != 1 or tags[0][0]:
        raise BadRequest('If-Match is not allowed like this; allowed: one strong entity tag, as "E"')
    return tags[0][1]


def condition_in(request: Request) -> tuple[str | None, bool]:
    """(tag that must be there, whether nothing may be there); one of the two. ConditionRequired, BadRequest."""
    match, none = match_in(request), request.field("if-none-match")
    if match is None and none is None:
        raise ConditionRequired('say what you replace; allowed: If-Match: "ETAG" as last read, or If-None-Match: * '
                                "for a new file")
    if match is not None and none is not None:
        raise BadRequest("If-Match and If-None-Match exclude each other")
    if none is not None and none.strip() != "*":
        raise BadRequest("If-None-Match is not allowed like this; allowed: *")
    return match, none is not None


def is_known(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this tag, by weak comparison; one that cannot be read names none."""
    field = request.field("if-none-match")
    with suppress(RequestError):
        return field is not None and conditions.is_known(field, etag)
    return False
