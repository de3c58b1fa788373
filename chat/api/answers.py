"""Good answers: JSON that nobody keeps."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from flask import Response
from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_encode = msgspec.json.Encoder().encode


class Answer(Response):
    """Flask's, but one without a body has no type, and what is whole already leaves as it is."""

    default_mimetype = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """As WSGI asks. werkzeug would copy the fields once more, to look for what ours do not have."""
        if not self.is_sequence or "Location" in self.headers:
            return super().__call__(environ, start_response)
        start_response(self._status, self.headers.to_wsgi_list())
        return self.response    # type: ignore[return-value]  # bytes: set_data() encodes what is text


_FIELDS = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]


def answer(value: object, status: int = 200) -> Response:
    """`value` as JSON."""
    return raw_answer(_encode(value), status)


def raw_answer(body: bytes, status: int = 200) -> Response:
    """`body` is JSON already."""
    return Answer(body, status, Headers(_FIELDS))


def nothing() -> Response:
    """204."""
    return Answer(status=204, headers=Headers(_FIELDS[1:]))
