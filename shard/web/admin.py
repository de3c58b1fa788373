"""The cluster over HTTP: what it is like, who owns a key, and which shards there are to be."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.shard.config import ShardConfig
from hotpath.shard.rows.values import key_of_text
from hotpath.shard.schema import Table

from .bodies import JSON, body_of, decoded, wanted
from .lanes import STATUS, STEERING, Lanes
from .problems import answered
from .queries import nothing_asked, only, pairs_of
from .ring import POLICY, SVG, picture
from .status import Status
from .wishes import Wish

if TYPE_CHECKING:
    from hotpath.shard.node import Node

CLUSTER = "/v1/cluster"
ACTIONS = ("pause", "resume", "throttle", "complete", "cancel")
NO_STORE = (("Cache-Control", "no-store"),)

MAX_BODY = 64 * 1024
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


class Administration:
    """The handlers of `/v1/cluster`, but for the events."""

    def __init__(self, config: ShardConfig, schema: Mapping[str, Table], node: Callable[[], Node],
                 lanes: Callable[[], Lanes], status: Callable[[], Status]) -> None:
        """The last three are of this worker, and there once it is open."""
        self._config = config
        self._schema = schema
        self._node = node
        self._lanes = lanes
        self._status = status

    def routes(self, app: Router) -> None:
        """Add them."""
        for method, path, handler in (
                ("GET", CLUSTER, self.show), ("GET", f"{CLUSTER}/owner", self.owner),
                ("GET", f"{CLUSTER}/ring.svg", self.ring), ("POST", f"{CLUSTER}/shards", self.add),
                ("DELETE", f"{CLUSTER}/shards/{{name}}", self.remove), ("GET", f"{CLUSTER}/reshard", self.reshard)):
            app.add(method, path, answered(handler), max_body=MAX_BODY)
        for action in ACTIONS:
            app.add("POST", f"{CLUSTER}/reshard/{action}", answered(Steer(self, action)), max_body=MAX_BODY)

    def show(self, request: Request) -> Response:
        """The document of the cluster."""
        nothing_asked(request)
        return Response.json(self._status().document(), headers=NO_STORE)

    def owner(self, request: Request) -> Response:
        """Whose a key is."""
        asked = only(pairs_of(request), ("table", "key"))
        for name in ("table", "key"):
            if name not in asked:
                raise RequestError(f"the query parameter {name!r} is missing")
        table = self._schema.get(asked["table"])
        if table is None:
            return problem(404, detail=f"no table is called {asked['table']!r}; there are: {', '.join(self._schema)}")
        try:
            key = key_of_text(table, asked["key"])
        except ValueError as error:
            raise RequestError(f"no row can have this key: {error}") from None
        return Response.json(self._node().owner(table.name, key), headers=NO_STORE)

    def ring(self, request: Request) -> Response:
        """The picture."""
        nothing_asked(request)
        # Thousands of arcs: in a thread, so that the loop goes on.
        text = self._lanes().call(STATUS, picture, self._node().topology, self._config.cluster)
        return Response(text, 200, (*NO_STORE, ("Content-Security-Policy", POLICY),
                                    ("X-Content-Type-Options", "nosniff")), SVG)

    def add(self, request: Request) -> Response:
        """202 with the reshard, which goes on by itself."""
        nothing_asked(request)
        wish = Wish(decoded(body_of(request, MAX_BODY)), ("name", "weight", "dsn", "rate", "hold", "keep_source"))
        name, dsn, rate, hold = wish.name(), wish.dsn(self._config.backend), wish.rate(), wish.flag("hold")
        weight, keep_source = wish.weight(), wish.flag("keep_source")
        wish.check()
        return self._begun(self._node().admin.add, name, weight, dsn, rate=rate, hold=hold, keep_source=keep_source)

    def remove(self, request: Request, name: str) -> Response:
        """202 with the reshard."""
        asked = only(pairs_of(request), ("rate", "hold", "keep_source", "keep_server"))
        flags = {flag: asked_flag(asked, flag) for flag in ("hold", "keep_source")}
        rate = None
        if "rate" in asked:
            if _NUMBER.fullmatch(asked["rate"]) is None:
                raise RequestError(f"rate {asked['rate']!r} is not allowed; allowed: rows per second, 0 for no cap")
            rate = float(asked["rate"])
        return self._begun(self._node().admin.remove, name, rate=rate, **flags,
                           keep_server=asked_flag(asked, "keep_server") or False)

    def reshard(self, request: Request) -> Response:
        """The one that runs, or the last one."""
        nothing_asked(request)
        document = self._lanes().call(STEERING, self._node().admin.document)
        if document is None:
            return problem(404, detail="there has been no reshard yet")
        return Response.json(document, headers=NO_STORE)

    def steer(self, action: str, *values: float) -> Response:
        """200 with the reshard as it is behind it."""
        document = self._lanes().call(STEERING, getattr(self._node().admin, action), *values)
        self._status().forget()
        return Response.json(document, headers=NO_STORE)

    def _begun(self, begin: Callable[..., dict[str, Any]], *values: object, **more: object) -> Response:
        document = self._lanes().call(STEERING, begin, *values, **more)
        self._status().forget()
        return Response.json(document, 202, (("Location", f"{CLUSTER}/reshard"), *NO_STORE))


class Steer:
    """The handler of one action."""

    def __init__(self, administration: Administration, action: str) -> None:
        self._administration = administration
        self._action = action
        self.__name__ = action

    def __call__(self, request: Request) -> Response:
        """200, 409 where there is nothing to steer."""
        nothing_asked(request)
        body = request.body()
        if self._action == "throttle":
            wish = Wish(decoded(body_of(request, MAX_BODY)), ("rate",))
            rate = wish.rate(required=True)
            wish.check()
            assert rate is not None
            return self._administration.steer("throttle", rate)
        if body:
            wanted(request, JSON)
            Wish(decoded(body), ()).check()
        return self._administration.steer(self._action)


def asked_flag(asked: Mapping[str, str], name: str) -> bool | None:
    """`true` or `false`; None: not asked. RequestError 400."""
    text = asked.get(name)
    if text not in (None, "true", "false"):
        raise RequestError(f"{name} {text!r} is not allowed; allowed: true or false")
    return None if text is None else text == "true"
