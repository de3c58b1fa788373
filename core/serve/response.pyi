import re
from collections.abc import Iterable, Mapping

from typing_extensions import disjoint_base

_Fields = Mapping[str, object] | Iterable[tuple[str, object]]

OURS: frozenset[str]
NAME: re.Pattern[str]
VALUE: re.Pattern[str]

def field_line(name: str, value: str) -> bytes: ...
@disjoint_base
class Response:
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> object: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    def __init__(
        self, body: bytes | bytearray | memoryview | str | Iterable[bytes | str] | None = b"", status: int = 200,
        headers: _Fields = (), content_type: str | None = None
    ) -> None: ...
    def add_header(self, name: str, value: object) -> None: ...
    def take_field(self, name: str, value: object, lines: list[bytes]) -> None: ...
    @staticmethod
    def json(value: object, status: int = 200, headers: _Fields = ()) -> Response: ...

@disjoint_base
class FileResponse(Response):
    def __init__(
        self, fd: int, offset: int, size: int, status: int = 200, headers: _Fields = (), content_type: str | None = None
    ) -> None: ...
