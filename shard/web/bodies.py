"""The body of a request as JSON: read strictly, so that no two readers understand it differently."""
from __future__ import annotations

import json
from collections.abc import Iterator

from hotpath.core.errors import InvalidRow
from hotpath.core.serve import Request, RequestError

JSON = "application/json"
NDJSON = "application/x-ndjson"

# What Python converts between text and int without being told to (sys.int_info).
MAX_DIGITS = 4300


def kind_of(request: Request) -> str:
    """The content type without parameters, "" for none."""
    return (request.field("content-type") or "").partition(";")[0].strip().lower()


def wanted(request: Request, *kinds: str) -> str:
    """The content type, one of `kinds`. RequestError 415."""
    kind = kind_of(request)
    if kind not in kinds:
        said = f"the body is {kind}" if kind else "no Content-Type says what the body is"
        raise RequestError(f"{said}; allowed: {' or '.join(kinds)}", 415)
    encoding = (request.field("content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise RequestError(f"the body is encoded as {encoding}; allowed: not at all", 415)
    return kind


def body_of(request: Request, limit: int) -> bytes:
    """The body, of up to `limit` bytes. RequestError 413, 415."""
    wanted(request, JSON)
    body = request.body()
    if len(body) > limit:
        raise too_large(limit)
    return body


def too_large(limit: int) -> RequestError:
    """413."""
    return RequestError(f"the body is larger than {limit} bytes", 413)


def decoded(body: bytes) -> object:
    """What the JSON text says. RequestError 400: it is none, or ambiguous; InvalidRow: a number is too long."""
    try:
        return _DECODER.decode(body.decode())
    except json.JSONDecodeError as error:
        raise RequestError(f"not JSON: {error.msg} at byte {_byte(error)}") from None
    except UnicodeDecodeError as error:
        raise RequestError(f"not JSON: no UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise RequestError("not JSON that can be read: nested too deeply") from None


def lines_of(body: bytes) -> Iterator[bytes]:
    """Each line of a body of lines that is not blank."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end].strip(b" \t\r")
        if line:
            yield line
        start = end + 1


def _byte(error: json.JSONDecodeError) -> int:
    return len(error.doc[:error.pos].encode(errors="surrogatepass"))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        # One reader would take the first, another the last (RFC 8259 section 4).
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise RequestError(f"the member {name!r} is there twice")
            seen.add(name)
    return made


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidRow([{"path": "", "message": f"a number of {len(text)} digits is out of every range"}])
    return int(text)


def _constant(text: str) -> float:
    raise RequestError(f"not JSON: {text}")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_constant=_constant)
