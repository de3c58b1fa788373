"""Each route that a page documents exists, and each that exists is documented."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotpath.chat.api import make_app
from hotpath.chat.config import ChatConfig
from hotpath.core.config import loads
from hotpath.core.serve import Router
from hotpath.crdt.config import CrdtConfig
from hotpath.crdt.server import Service as Crdt
from hotpath.ide.config import IdeConfig, SandboxConfig
from hotpath.ide.server import app_of as ide_of
from hotpath.locking.config import LockingConfig
from hotpath.locking.web.counts import Counts
from hotpath.locking.web.service import Service as Locking
from hotpath.proxy.admin import Admin
from hotpath.shard.loading import load_config
from hotpath.shard.web.service import Service as Shard
from hotpath.shard.web.tally import Tally

FOLDER = Path(__file__).parents[2] / "docs"
METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|WS"
# A code span, `METHOD /path`, with or without a query behind it.
SPAN = re.compile(rf"`({METHODS}) (/[^`?]*)(?:\?[^`]*)?`")
PARAMETER = re.compile(r"\{\w+(?::\w+)?\}|<(?:\w+:)?\w+>")
# Files of a page, its own and those that all pages share, are told of as the page.
FILE = re.compile(r"^/kit/|\.(js|css|html|svg|ico)$")
BUILT_IN = {("GET", "/healthz"), ("GET", "/metrics")}

Routes = Iterable[tuple[str, str]]


def of(app: Router) -> Iterator[tuple[str, str]]:
    """Of an application on the core; a preflight is no route of its own."""
    return ((route.method or "WS", route.pattern) for route in app.routes if route.method != "OPTIONS")


def proxy(folder: Path) -> Routes:
    plain = SimpleNamespace(state=SimpleNamespace(roster=None))
    return of(Admin(cast(Any, plain)).router(None, pages_reach_it=True))


def shard(folder: Path) -> Routes:
    service = Shard(load_config(None), Tally(1), token=None, opened=cast(Any, None))
    return {(method, pattern.replace("/tables/posts", "/tables/{table}")) for method, pattern in of(service.app())
            if not pattern.startswith("/v1/tables/{table}")} | BUILT_IN      # those refuse tables that are none


def crdt(folder: Path) -> Routes:
    return {*of(Crdt(CrdtConfig(data=str(folder))).app()), *BUILT_IN}


def ide(folder: Path) -> Routes:
    config = IdeConfig(data=str(folder), sandbox=SandboxConfig(kind="process"))
    return {*of(ide_of(config, None)), *BUILT_IN}


def locking(folder: Path) -> Routes:
    return {*of(Locking(LockingConfig(data=str(folder)), Counts()).app()), *BUILT_IN}


def chat(folder: Path) -> Routes:
    sessions = SimpleNamespace(check_origin=lambda: None)
    app = make_app(cast(Any, SimpleNamespace(config=loads("", ChatConfig), sessions=sessions)))
    return ((method, rule.rule) for rule in app.url_map.iter_rules()
            for method in cast(set[str], rule.methods) - {"HEAD", "OPTIONS"})


SYSTEMS: tuple[Callable[[Path], Routes], ...] = (proxy, shard, crdt, ide, locking, chat)


def plain(routes: Routes) -> set[tuple[str, str]]:
    """Without the names of parameters."""
    return {(method, PARAMETER.sub("{}", path)) for method, path in routes}


def documented(page: str) -> set[tuple[str, str]]:
    """What stands in the page's section `HTTP API`."""
    section = (FOLDER / f"{page}.md").read_text().split("\n## HTTP API\n")[1].split("\n## ")[0]
    return plain(SPAN.findall(section))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.__name__)
def test_a_page_documents_the_routes_that_there_are(system, tmp_path):
    there = plain(system(tmp_path))
    told = documented(system.__name__)
    assert told - there == set()
    assert {(method, path) for method, path in there - told if not FILE.search(path)} == set()


def test_a_route_that_nobody_has_is_found_out():
    assert plain(SPAN.findall("`GET /v1/x/{id}?a=` `WS /live`")) == {("GET", "/v1/x/{}"), ("WS", "/live")}
    assert plain([("GET", "/kv/{rest:raw}"), ("PUT", "/c/<id:channel>/m/<string:name>")]) == {
        ("GET", "/kv/{}"), ("PUT", "/c/{}/m/{}")}
