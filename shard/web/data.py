"""Rows over HTTP: one by its key, many at once, and lists over all shards."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from hotpath.core.errors import DuplicateKey, InvalidRow, ShardUnavailable
from hotpath.core.serve import Request, RequestError, Response, Router, problem
from hotpath.shard.config import ShardLimits
from hotpath.shard.rows.aggregates import Summary, summary_of_pairs
from hotpath.shard.rows.checks import changes_of_json, row_of_json
from hotpath.shard.rows.query import DEFAULT_LIMIT, Query, query_of_pairs
from hotpath.shard.rows.values import json_key, json_row, key_of_path, path_of_key
from hotpath.shard.schema import Key, Table, slot_of
from hotpath.shard.store.store import GENERATED_TRIES

from .bodies import JSON, NDJSON, body_of, decoded, lines_of, too_large, wanted
from .lanes import MANY, SCANS, Lanes
from .metrics import Meter
from .problems import answered
from .queries import nothing_asked, pairs_of, raw_pairs_of

if TYPE_CHECKING:
    from hotpath.shard.node import Node
    from hotpath.shard.store import Store

P = ParamSpec("P")
T = TypeVar("T")

MAX_KEYS = 500                  # of one multi-get
# Of one bulk: what was refused is named row by row, and the answer must fit in memory too.
MAX_ROWS = 1_000_000
# What is larger is read as JSON in a thread: it would keep the loop for milliseconds.
IN_LOOP_BYTES = 16 * 1024

TABLES = "/v1/tables"


class Failed(msgspec.Struct, omit_defaults=True):
    """A row of a bulk that was not inserted; the last two with 503."""

    index: int
    status: int
    detail: str
    shard: str | None = None
    outcome: str | None = None


class Rows:
    """The handlers of one table."""

    def __init__(self, table: Table, limits: ShardLimits, node: Callable[[], Node], lanes: Callable[[], Lanes],
                 meter: Meter) -> None:
        """`node` and `lanes`: of this worker; they are there once it is open."""
        self._table = table
        self._limits = limits
        self._node = node
        self._lanes = lanes
        self._meter = meter

    def routes(self, app: Router) -> None:
        """Add them."""
        many, one = f"{TABLES}/{self._table.name}", f"{TABLES}/{self._table.name}/{{key:raw}}"
        row, bulk = self._limits.row, self._limits.bulk
        app.add("POST", many, self._counted("insert", self.insert), max_body=max(row, bulk))
        app.add("GET", many, self.look)
        app.add("GET", one, self._counted("get", self.get))
        app.add("PUT", one, self._counted("put", self.put), max_body=row)
        app.add("PATCH", one, self._counted("update", self.update), max_body=row)
        app.add("DELETE", one, self._counted("delete", self.delete))

    # One row

    def get(self, request: Request, key: str) -> Response:
        """200 or 404."""
        nothing_asked(request)
        return self._alone("get", self._key(key), self._get)

    def put(self, request: Request, key: str) -> Response:
        """201 or 200."""
        nothing_asked(request)
        return self._alone("put", self._key(key), self._put, body_of(request, self._limits.row))

    def update(self, request: Request, key: str) -> Response:
        """204 or 404."""
        nothing_asked(request)
        return self._alone("update", self._key(key), self._update, body_of(request, self._limits.row))

    def delete(self, request: Request, key: str) -> Response:
        """204 or 404."""
        nothing_asked(request)
        return self._alone("delete", self._key(key), self._delete)

    def insert(self, request: Request) -> Response:
        """201 for an object; 200 for an array or lines of them."""
        nothing_asked(request)
        kind = wanted(request, JSON, NDJSON)
        body = request.body()
        is_bulk = kind == NDJSON or _is_array(body)
        if is_bulk:
            request.state = "insert_many"
        limit = self._limits.bulk if is_bulk else self._limits.row
        if len(body) > limit:
            raise too_large(limit)
        if is_bulk:
            return self._lanes().call(MANY, self._bulk, kind, body)
        row = self._row(body) if len(body) <= IN_LOOP_BYTES else self._lanes().call(MANY, self._row, body)
        name = self._table.key.name
        tries = 0
        while row[name] is None:            # which shard's lane it takes hangs on the key
            tries += 1
            identity = self._node().identity
            key = identity.at_hand()
            if key is None:
                key = self._lanes().call(MANY, identity.next)
            try:
                return self._alone("insert", key, self._insert, row)
            except DuplicateKey:            # of another router, in the same millisecond
                if tries == GENERATED_TRIES:
                    raise
        return self._alone("insert", row[name], self._insert, row)      # type: ignore[arg-type]    # a key, by its check

    def _alone(self, op: str, key: Key, work: Callable[..., tuple[Response, str]], *more: object) -> Response:
        """`work` on the shard of `key`, timed."""
        shard = self._node().topology.routes[slot_of(key)].shard
        return self._lanes().call(shard, self._timed, op, work, key, *more)

    def _timed(self, op: str, work: Callable[..., tuple[Response, str]], *given: object) -> Response:
        began_s = perf_counter()
        try:
            response, shard = work(*given)
        except ShardUnavailable as error:
            self._meter.took(error.shard, op, perf_counter() - began_s)
            raise
        self._meter.took(shard, op, perf_counter() - began_s)
        if response.status < 300:
            response.add_header("Hotpath-Shard", shard)
        return response

    def _get(self, key: Key) -> tuple[Response, str]:
        row, shard = self._store.get(key)
        return (Response.json(json_row(self._table, row)) if row is not None else self._absent()), shard

    def _insert(self, key: Key, row: dict[str, object]) -> tuple[Response, str]:
        row, shard = self._store.insert({**row, self._table.key.name: key})
        where = (("Location", f"{TABLES}/{self._table.name}/{path_of_key(self._table, key)}"),)
        return Response.json(json_row(self._table, row), 201, where), shard

    def _put(self, key: Key, body: bytes) -> tuple[Response, str]:
        row = row_of_json(self._table, decoded(body), key=key, limit=self._limits.row)
        created, shard = self._store.put(row)
        return Response.json(json_row(self._table, row), 201 if created else 200), shard

    def _update(self, key: Key, body: bytes) -> tuple[Response, str]:
        changes = changes_of_json(self._table, decoded(body), key=key, limit=self._limits.row)
        found, shard = self._store.update(key, changes)
        return (Response(None, 204) if found else self._absent()), shard

    def _delete(self, key: Key) -> tuple[Response, str]:
        found, shard = self._store.delete(key)
        return (Response(None, 204) if found else self._absent()), shard

    @property
    def _store(self) -> Store:
        return self._node().stores[self._table.name]

    def _row(self, body: bytes) -> dict[str, object]:
        return row_of_json(self._table, decoded(body), limit=self._limits.row)

    def _key(self, text: str) -> Key:
        try:
            return key_of_path(self._table, text)
        except ValueError as error:
            raise RequestError(f"no row can have this key: {error}") from None

    @staticmethod
    def _absent() -> Response:
        return problem(404, detail="no row has this key")

    # Many rows

    def _bulk(self, kind: str, body: bytes) -> Response:
        """In a thread."""
        failed: list[Failed] = []
        places: list[int] | None = None
        if kind == NDJSON:
            rows: list[object] = []
            places = []
            for index, line in enumerate(lines_of(body)):
                bounded(index)
                try:
                    rows.append(decoded(line))
                    places.append(index)
                except RequestError as error:
                    failed.append(Failed(index, 400, str(error)))
                except InvalidRow as error:
                    failed.append(Failed(index, 422, str(error)))
        else:
            found = decoded(body)
            assert isinstance(found, list)
            rows = found
            bounded(len(rows) - 1)
        check = partial(row_of_json, self._table, limit=self._limits.row)
        done = self._node().scatter[self._table.name].insert_many(rows, check)
        for one in done.failed:
            index = one.index if places is None else places[one.index]
            failed.append(Failed(index, one.status, one.detail, one.shard, one.outcome))
        failed.sort(key=lambda one: one.index)
        return Response.json({"inserted": done.inserted, "failed": failed})

    def look(self, request: Request) -> Response:
        """Rows by their keys, a page of a list, or aggregates: by what the query asks for."""
        names = {part.partition("=")[0] for part in request.query_string.split("&")}
        if "key" in names:
            return self._counted("get_many", self.many)(request)
        if "aggregate" in names:
            return self._counted("aggregate", self.aggregate)(request)
        return self._counted("list", self.page)(request)

    def many(self, request: Request) -> Response:
        """The rows of these keys, as asked, and the keys that no row has."""
        pairs = raw_pairs_of(request)
        for name, _ in pairs:
            if name != "key":
                raise RequestError(f"the query parameter {name!r} does not go with key")
        if len(pairs) > MAX_KEYS:
            raise RequestError(f"{len(pairs)} keys; allowed: up to {MAX_KEYS}")
        keys = [self._key(text) for _, text in pairs]
        return self._lanes().call(MANY, self._many, keys)

    def _many(self, keys: list[Key]) -> Response:
        rows = self._node().scatter[self._table.name].get_many(keys)
        return Response.json({
            "rows": [json_row(self._table, row) for row in rows if row is not None],
            "missing": [json_key(self._table, key) for key, row in zip(keys, rows, strict=True) if row is None]})

    def page(self, request: Request) -> Response:
        """A page, and where the next one begins."""
        pairs = pairs_of(request)
        if all(name != "limit" for name, _ in pairs):
            pairs.append(("limit", str(min(DEFAULT_LIMIT, self._limits.list))))
        query = read(query_of_pairs, self._table, pairs, max_limit=self._limits.list)
        return self._lanes().call(SCANS, self._page, query)

    def _page(self, query: Query) -> Response:
        page = self._node().scatter[self._table.name].page(query)
        return Response.json({"rows": [json_row(self._table, row) for row in page.rows], "next": page.next})

    def aggregate(self, request: Request) -> Response:
        """Count, sum, least and greatest."""
        return self._lanes().call(SCANS, self._aggregate, read(summary_of_pairs, self._table, pairs_of(request)))

    def _aggregate(self, summary: Summary) -> Response:
        totals = self._node().scatter[self._table.name].aggregate(summary)
        return Response.json(read(totals.json_result))

    # Counted

    def _counted(self, op: str, handler: Callable[..., Response]) -> Callable[..., Response]:
        return self._meter.counted(self._table.name, op, answered(handler))


def read(reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What it reads of a query. RequestError 400 for its ValueError."""
    try:
        return reader(*args, **kwargs)
    except InvalidRow:                  # a ValueError, too
        raise
    except ValueError as error:
        raise RequestError(str(error)) from None


def bounded(index: int) -> None:
    """RequestError 413: more rows than one bulk may hold."""
    if index >= MAX_ROWS:
        raise RequestError(f"more than {MAX_ROWS} rows in one request", 413)


def _is_array(body: bytes) -> bool:
    return body.lstrip(b" \t\r\n")[:1] == b"["


def tables(schema: Mapping[str, Table]) -> Callable[[Request], Response]:
    """The handler of the list of tables."""
    document = {"tables": {
        table.name: {"key": table.key.name, "columns": {column.name: column.type for column in table.columns}}
        for table in schema.values()}}

    def show(request: Request) -> Response:
        nothing_asked(request)
        return Response.json(document)

    return answered(show)


def unknown(schema: Mapping[str, Table]) -> Callable[..., Response]:
    """The handler of a table that nobody declared; and of methods that tables do not have."""
    names = ", ".join(schema)

    def refuse(request: Request, table: str, **_: str) -> Response:
        if table in schema:
            return problem(405, detail="a table has no such method", headers=(("Allow", "GET, HEAD, OPTIONS, POST"),))
        return problem(404, detail=f"no table is called {table!r}; there are: {names}")

    return refuse


def add_routes(app: Router, schema: Mapping[str, Table], rows: Callable[[Table], Rows]) -> None:
    """Add `/v1/tables` and all below it."""
    app.add("GET", TABLES, tables(schema))
    for table in schema.values():
        rows(table).routes(app)
    refuse = unknown(schema)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        app.add(method, f"{TABLES}/{{table}}", refuse)
        app.add(method, f"{TABLES}/{{table}}/{{rest:path}}", refuse)
