"""Workers of the proxy without sockets, for tests: `probes(CONFIG)` and requests to give them."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from hotpath.core.config import loads
from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.probe import Probe
from hotpath.proxy.state import State

ROUTE = {"name": "all", "match": {"prefix": "/"}, "respond": {"body": "hello"}}

# Any time; the clock of a probe stands until a test moves it.
NOW_US = 1_000_000_000


def config_of(given: Mapping[str, Any]) -> ProxyConfig:
    """A config with one route that answers by itself, unless `given` has routes."""
    return loads(yaml.safe_dump({"workers": 1, "routes": [ROUTE], **given}, sort_keys=False), ProxyConfig)


def probes(given: Mapping[str, Any]) -> list[Probe]:
    """One for each of its `workers`, which share what workers share."""
    config = config_of(given)
    state = State(config)
    made = [Probe(config, state, worker) for worker in range(config.worker_count)]
    set_clock(made, NOW_US)
    return made


def probe(given: Mapping[str, Any]) -> Probe:
    """The only worker."""
    return probes(given)[0]


def set_clock(of: Iterable[Probe], now_us: int) -> None:
    """The workers of one machine have one clock."""
    for each in of:
        each.now_us = now_us


def head(target: str = "/", *fields: tuple[str, str], method: str = "GET", host: str | None = "test") -> bytes:
    """A request head; `host` None leaves Host out, which only HTTP/1.0 may."""
    version = "HTTP/1.1" if host is not None else "HTTP/1.0"
    named = [("Host", host)] if host is not None else []
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in (*named, *fields))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def fields_of(head: bytes) -> list[tuple[str, str]]:
    """The fields of a head, names in lower case."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
