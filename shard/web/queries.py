"""The query of a request, read strictly: what nobody asked about is refused, not ignored."""
from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_to_bytes

from hotpath.core.serve import Request, RequestError

# More than any list of keys and conditions needs.
MAX_PARAMETERS = 1000


def raw_pairs_of(request: Request) -> list[tuple[str, str]]:
    """(name, value) of each parameter; the value as in a path, percent-encoded. RequestError 400."""
    text = request.query_string
    if not text:
        return []
    parts = text.split("&")
    if len(parts) > MAX_PARAMETERS:
        raise RequestError(f"{len(parts)} parameters; allowed: up to {MAX_PARAMETERS}")
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            pairs.append((plain(name.replace("+", " ")), value.replace("+", "%20")))
    return pairs


def pairs_of(request: Request) -> list[tuple[str, str]]:
    """(name, value) of each parameter, decoded. RequestError 400."""
    return [(name, plain(value)) for name, value in raw_pairs_of(request)]


def plain(text: str) -> str:
    """Percent-decoded. RequestError 400: no UTF-8."""
    try:
        return (unquote_to_bytes(text) if "%" in text else text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise RequestError("the query is not UTF-8") from None


def only(pairs: list[tuple[str, str]], allowed: Collection[str]) -> dict[str, str]:
    """The parameters by name. RequestError 400: one that is not `allowed`, or is there twice."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            known = ", ".join(allowed) if allowed else "none here"
            raise RequestError(f"unknown query parameter {name!r}; allowed: {known}")
        if name in found:
            raise RequestError(f"the query parameter {name!r} is there twice")
        found[name] = value
    return found


def nothing_asked(request: Request) -> None:
    """RequestError 400 for any parameter."""
    if request.query_string:
        only(raw_pairs_of(request), ())
