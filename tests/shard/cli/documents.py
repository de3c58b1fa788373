"""Documents as a cluster gives them."""
from __future__ import annotations

from typing import Any


def reshard(**changes: Any) -> dict[str, Any]:
    """`add s2`, half copied."""
    rows = {"total": 1000, "copied": 400, "pulled": 100, "dirty": 3, "verified": 0, "deleted": 0}
    return {
        "id": "r1", "kind": "add", "shard": "s2", "state": "copying", "paused": False, "error": None, "hold": False,
        "slots": {"total": 200, "copied": 80, "verified": 0}, "rows": rows, "rate": {"limit": 20000, "now": 12345.6},
        "eta_s": 83.2, "started": "2026-01-31T12:00:00.000000Z", "finished": None,
        "moves": [{"source": "s0", "target": "s2", "state": "dual", "slots": 120, "rows": 600},
                  {"source": "s1", "target": "s2", "state": "planned", "slots": 80, "rows": 400}],
    } | changes


def done(**changes: Any) -> dict[str, Any]:
    """The same, at its end."""
    rows = {"total": 1000, "copied": 900, "pulled": 100, "dirty": 3, "verified": 1000, "deleted": 1000}
    return reshard(**{"state": "done", "rows": rows, "slots": {"total": 200, "copied": 200, "verified": 200},
                      "eta_s": 0.0, "finished": "2026-01-31T12:01:23.000000Z"} | changes)


def shard(name: str, **changes: Any) -> dict[str, Any]:
    """An active shard."""
    return {
        "name": name, "state": "active", "weight": 1.0, "slots": 32768, "share": 0.5, "epoch": 1, "up": True,
        "address": f"/data/{name}.db", "server": "hotpath-blog-s0", "pid": None, "rows": {"posts": 1234, "users": 6},
        "pool": {"size": 2, "in_use": 1, "waiting": 0, "max": 16},
    } | changes


def cluster(**changes: Any) -> dict[str, Any]:
    """Two shards, one router."""
    return {
        "cluster": "blog", "version": 7, "backend": "embedded", "fence": True, "state": "stable",
        "shards": [shard("s0"), shard("s1")], "reshard": None,
        "routers": [{"id": 1, "host": "here", "pid": 4711, "version": 7}],
    } | changes
