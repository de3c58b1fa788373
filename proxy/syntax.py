"""The words and numbers of a proxy.yaml: names, hosts, paths, keys, patterns, each refused with what is allowed."""
from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from hotpath.core.config import Scalar, shown, spelled

from .pattern import fault_of

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")                 # RFC 9110 5.6.2
# RFC 9110 5.5, with obs-text: tabs and spaces stand inside, never around, for a receiver drops them there.
_HEADER_VALUE = re.compile(r"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
_URL_PATH = re.compile(r"/(?:[!$&'()*+,;=:@/A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*")             # RFC 3986 3.3
# Of an unreserved character, RFC 3986 2.3.
_IDLE_ESCAPE = re.compile(r"%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?=/|$)")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]")
_HOST_PORT = re.compile(rf"(?:{_HOST.pattern})(?::[0-9]{{1,5}})?")
_MEDIA_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}")             # RFC 9110 8.3.1, without parameters
_STATUS_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_FIELD = re.compile(r"\{([^{}]*)\}")

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
BALANCES = ("round_robin", "least_conn", "p2c", "ewma", "ip_hash")
HASH_KEYS = ("client_ip", "host", "path", "uri", "header:N", "cookie:N", "query:N")
LIMIT_KEYS = ("client_ip", "host", "route", "header:N", "cookie:N")
REDIRECT_FIELDS = ("path",)
# What an access log line may tell; `format: json` tells all of it, in this order.
LOG_FIELDS = (
    "time", "client", "method", "target", "protocol", "status", "bytes_sent", "bytes_received", "duration_ms", "host",
    "route", "upstream", "upstream_status", "upstream_ms", "retries", "referer", "user_agent",
)


def _text(value: Scalar) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f'{shown(value)} is not text; allowed: text (in quotes it is: "{shown(value)}")')


def _like(pattern: re.Pattern[str], allowed: str) -> Callable[[Scalar], str]:
    def read(value: Scalar) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise ValueError(f"{shown(text)} is not allowed here; allowed: {allowed}")
        return text

    return read


def read_url_path(value: Scalar) -> str:
    """A path as requests have it once they are normalised: one with dot segments would never match."""
    text = _like(_URL_PATH, "a path that starts with / and holds no ?, # or space")(value)
    if _DOT_SEGMENT.search(text):
        raise ValueError(f"{shown(text)} has dot segments; allowed: a path without, as they are removed from requests")
    return _IDLE_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def read_host_pattern(value: Scalar) -> str:
    """A host or `*.` and a host, in lower case; ports take no part in matching."""
    text = _text(value)
    if not _HOST.fullmatch(text.removeprefix("*.")):
        raise ValueError(f"{shown(text)} is not a host; allowed: a.example, *.a.example or [V6], without a port")
    return text.lower()


def read_method(value: Scalar) -> str:
    """A method; RFC 9110 9.1 makes them case-sensitive, so `get` would never match."""
    text = _text(value)
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a method; allowed: a token, as GET or PURGE")
    if text.upper() in _METHODS and text not in _METHODS:
        raise ValueError(f"{shown(text)} is not a method; allowed: {text.upper()} (methods are case-sensitive)")
    return text


def read_path_pattern(value: Scalar) -> str:
    """A regular expression that compiles and that no path can make slow."""
    text = _text(value)
    fault = fault_of(text)
    if fault:
        raise ValueError(f"{shown(text)} {fault}")
    return text


def read_balance(value: Scalar) -> str:
    """One of the ways to choose a server."""
    text = _text(value)
    kind, _, key = text.partition(":")
    if text not in BALANCES and not (kind == "hash" and _is_key(key, HASH_KEYS)):
        raise ValueError(f"{shown(text)} is no way to balance; allowed: {', '.join(BALANCES)}, "
                         f"or hash:KEY where KEY is {', '.join(HASH_KEYS)}")
    return text


def read_limit_key(value: Scalar) -> str:
    """What a rate limit counts by."""
    text = _text(value)
    if not _is_key(text, LIMIT_KEYS):
        raise ValueError(f"{shown(text)} is no key; allowed: {', '.join(LIMIT_KEYS)}")
    return text


def read_log_format(value: Scalar) -> str:
    """`combined`, `json`, or text with `{fields}`."""
    text = _text(value)
    if text in ("combined", "json"):
        return text
    if "{" not in text:
        raise ValueError(f"{shown(text)} is no log format; allowed: combined, json, or text with {{fields}}")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} has control characters; allowed: one line of text with {{fields}}")
    _check_fields(text, LOG_FIELDS)
    return text


def read_redirect_target(value: Scalar) -> str:
    """A URL reference, in which `{path}` stands for the request's path."""
    text = _text(value)
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{shown(text)} is no redirect target; allowed: a URL in ASCII, with {{path}}")
    _check_fields(text, REDIRECT_FIELDS)
    return text


def ranges_of(text: str) -> tuple[tuple[int, int], ...]:
    """The first and the last status of each range in "200-299,404". Raises ValueError."""
    found = [_STATUS_RANGE.fullmatch(part.strip()) for part in text.split(",")]
    ranges = [(int(one[1]), int(one[2] or one[1])) for one in found if one is not None]
    if len(ranges) != len(found) or any(low > high for low, high in ranges):
        raise ValueError(f"{shown(text)} is not a list of statuses; allowed: as 200-399, 200 or 200-299,404")
    return tuple(ranges)


def read_status_ranges(value: Scalar) -> str:
    """Statuses and ranges of them, with commas between."""
    text = str(value) if isinstance(value, int) else _text(value)
    ranges_of(text)
    return text


def _is_key(text: str, allowed: tuple[str, ...]) -> bool:
    kind, colon, name = text.partition(":")
    return f"{kind}:N" in allowed and bool(_TOKEN.fullmatch(name)) if colon else text in allowed


def _check_fields(text: str, allowed: tuple[str, ...]) -> None:
    for name in _FIELD.findall(text):
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, 1)
            hint = f" (did you mean {{{near[0]}}}?)" if near else ""
            raise ValueError(f"{{{name}}} is no field{hint}; allowed: {', '.join(f'{{{field}}}' for field in allowed)}")
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise ValueError(f"{shown(text)} has a brace without its twin; allowed: {{name}}")


Name = Annotated[str, spelled(_like(_NAME, "a name of letters, digits, _ . - (at most 64)"))]
HeaderName = Annotated[str, spelled(_like(_TOKEN, "a token, as X-Request-Id (RFC 9110 5.6.2)"))]
HeaderValue = Annotated[str, spelled(_like(_HEADER_VALUE, "text without control characters, or blanks around it"))]
UrlPath = Annotated[str, spelled(read_url_path)]
HostName = Annotated[str, spelled(_like(_HOST_PORT, "a host, with or without a port"))]
HostPattern = Annotated[str, spelled(read_host_pattern)]
Method = Annotated[str, spelled(read_method)]
PathPattern = Annotated[str, spelled(read_path_pattern)]
BalanceName = Annotated[str, spelled(read_balance)]
LimitKey = Annotated[str, spelled(read_limit_key)]
LogFormat = Annotated[str, spelled(read_log_format)]
MediaType = Annotated[str, spelled(_like(_MEDIA_TYPE, "a media type, as text/html"))]
StatusRanges = Annotated[str, spelled(read_status_ranges)]
RedirectTarget = Annotated[str, spelled(read_redirect_target)]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]            # 0 means none, wherever it stands
# A ring gives 256 points to each unit of weight: 1000 keeps its table below a few megabytes.
Weight = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
ErrorStatus = Annotated[int, msgspec.Meta(ge=400, le=599)]
