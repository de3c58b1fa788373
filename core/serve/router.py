"""An application: which function answers which request?"""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from .files import Files
from .gate import Authorize, Gate, Upgrade
from .hooks import Hooks
from .options import Options
from .table import PARAMETER, Route, Table, segments_of

Handler = TypeVar("Handler", bound=Callable[..., object])

_METHOD = re.compile(r"[A-Z][A-Z-]*")


class Router(Hooks):
    """Collects routes, and hooks beside them; `run` serves them.

    A fixed segment of a path goes before `{name:int}`, that before `{name}`, that before `{name:path}`, in whatever
    order they were added. `{name:raw}` is everything behind a fixed beginning, as sent and not decoded; where one
    begins, nothing else is looked for.
    """

    def __init__(self) -> None:
        """Start without a route."""
        super().__init__()
        self._routes: list[Route] = []

    def route(self, method: str, path: str, *, max_body: int | None = -2) -> Callable[[Handler], Handler]:
        """Let the function below answer `method` at `path`, called with the request and the path's parameters.

        HEAD follows GET, OPTIONS is answered by the server. `max_body`: bytes, instead of the configuration's limit;
        None: any. Raises ValueError for a path that is none, TypeError when the function does not take its parameters.
        """
        if _METHOD.fullmatch(method) is None:
            raise ValueError(f"{method!r} is not a method")

        def add(handler: Handler) -> Handler:
            self.add(method, path, handler, max_body=max_body)
            return handler

        return add

    def websocket(
        self, path: str, *, origins: Collection[str] = (), authorize: Authorize | None = None,
        options: Options | None = None, upgrade: Upgrade | None = None
    ) -> Callable[[Handler], Handler]:
        """Let the function below serve websockets at `path`: called with request, socket and the path's parameters.

        A page's Origin must be one of `origins` or this site; `authorize(request)` answers False or an error Response
        for who may not connect. Both are asked before the 101.
        `options`: limits, subprotocols, compression. `upgrade`: C code that takes these connections over; see `Gate`.
        """

        def add(handler: Handler) -> Handler:
            self.add("", path, handler, gate=Gate(origins, authorize, options or Options(), upgrade), more=2)
            return handler

        return add

    def files(
        self, path: str, folder: str, *, index: str = "index.html", fallback: str | None = None, hidden: bool = False
    ) -> None:
        """Answer GET at `path`, which ends in `{rest:path}`, with the files below `folder`; see `Files`."""
        self.add("GET", path, Files(folder, index=index, fallback=fallback, hidden=hidden))

    def add(
        self, method: str, path: str, handler: Callable[..., object], *,
        max_body: int | None = -2, gate: Gate | None = None, more: int = 1
    ) -> None:
        """As `route`, without a decorator. `more`: what the handler takes besides the path's parameters."""
        segments_of(path)
        names = [match[1] for match in PARAMETER.finditer(path)]
        try:
            inspect.signature(handler).bind(*[None] * more, **dict.fromkeys(names))
        except TypeError as error:
            raise TypeError(f"the handler of {path} does not fit: {error}") from None
        route = Route(method, path, handler, max_body=-1 if max_body is None else max_body, gate=gate,
                      index=len(self._routes))
        Table([*self._routes, route])       # raises ValueError for what is there already
        self._routes.append(route)

    @property
    def routes(self) -> Iterable[Route]:
        """All routes, in the order they were added."""
        return tuple(self._routes)

    def has(self, method: str, path: str) -> bool:
        """Whether a route answers this."""
        return self.table().match(method, path.encode())[0] is not None

    def table(self) -> Table:
        """The routes as they are now, compiled."""
        return Table(self._routes)
