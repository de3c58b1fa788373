"""The JSON of a request, of a given shape."""
from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from hotpath.core.serve import Request, RequestError

Body = TypeVar("Body")

# PostgreSQL has no NUL in a text.
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\0]*\Z")]


def body_of(request: Request, shape: type[Body]) -> Body:
    """The body. RequestError: 415 another type, 400 no JSON, 413 too long, 422 another shape."""
    try:
        return request.json(shape)
    except RequestError as error:
        if error.error_status_hint == 422:
            request.json()              # a shape is refused at its first difference: is the rest JSON at all?
        raise
