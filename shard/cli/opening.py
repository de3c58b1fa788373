"""A cluster opened by a command: through its meta database, with or without a router."""
from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hotpath.core.errors import HotpathError, ShardUnavailable
from hotpath.shard.bringup import bring_up
from hotpath.shard.config import ShardConfig
from hotpath.shard.loading import load_config
from hotpath.shard.node import Node


class NotUp(HotpathError):
    """The operator must act: the map cannot be read; the message says what may help."""


@contextmanager
def opened(given: argparse.Namespace) -> Iterator[Node]:
    """The cluster of `--config`; nothing is started, no router announced. Raises HotpathError."""
    with ExitStack() as stack:
        try:
            node = stack.enter_context(node_of(load_config(given.config)))
        except ShardUnavailable as error:
            raise NotUp(f"the map of the cluster cannot be read: {error.cause}; if it is down, start it: "
                        f"{again(given, 'up')}") from None
        yield node


@contextmanager
def node_of(config: ShardConfig) -> Iterator[Node]:
    """The cluster of this configuration."""
    # What happens meanwhile is for the log of a router. A person at a terminal gets the outcome.
    logging.getLogger("hotpath").addHandler(logging.NullHandler())
    node = Node(config, bring_up(config, start=False))
    try:
        yield node
    finally:
        node.close()


def again(given: argparse.Namespace, *words: str) -> str:
    """The command line that does `words` to the same cluster, to be copied."""
    config = [] if given.config is None else ["--config", str(given.config)]
    return " ".join(["hotpath-shard", words[0], *config, *words[1:]])
