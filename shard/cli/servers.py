"""The commands that start and stop the shards: `up` and `down`."""
from __future__ import annotations

import argparse
from contextlib import suppress

from hotpath.core.errors import HotpathError
from hotpath.shard.bringup import bring_up, take_down
from hotpath.shard.loading import load_config

from .carrier import forget_log
from .documents import ClusterDoc, read
from .looking import settled
from .opening import again, node_of
from .status import console, table


def up(given: argparse.Namespace) -> int:
    """All shards run, with their tables."""
    config = load_config(given.config)
    shown = console(stderr=True)
    with shown.status(f"starting {config.cluster} ({config.backend})"):
        bring_up(config, timeout_s=given.timeout)
    with node_of(config) as node:
        console().print(table(read(settled(node), ClusterDoc)))
    return 0


def down(given: argparse.Namespace) -> int:
    """No shard of ours runs; with `--purge`, nothing of it is left."""
    config = load_config(given.config)
    shown = console(stderr=True)
    # Routers are told of, not stopped: who started them stops them. A cluster that is down already has no map to ask.
    with suppress(HotpathError), node_of(config) as node:
        for router in read(node.status(), ClusterDoc).routers:
            shown.print(f"a router still runs (pid {router.pid} on {router.host}); until `up` it answers 503")
    with shown.status(f"stopping {config.cluster} ({config.backend})"):
        take_down(config, purge=given.purge)
    if given.purge:
        forget_log(config)
        print(f"{config.cluster}: down, its data deleted")
    else:
        print(f"{config.cluster}: down; its data stay, and it starts again with: {again(given, 'up')}")
    return 0
