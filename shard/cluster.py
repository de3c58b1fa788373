"""A cluster as a library: `with Cluster.open("shard.yaml") as c: c.table("posts").insert(row)`."""
from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from hotpath.core.config import loads
from hotpath.core.errors import HotpathError
from hotpath.core.yamltext import unparse

from .bringup import TIMEOUT_S, bring_up
from .config import ShardConfig
from .engine import forks
from .following import Following
from .loading import based, load_config
from .node import Node
from .rows.checks import key_of_python
from .rowset import Rows


class Cluster:
    """Any number of threads may use one, and a forked child goes on with connections of its own.

    While it is open it is a router like any other: it helps to carry on a reshard.
    """

    def __init__(self, node: Node, again: Callable[[], Node] | None = None) -> None:
        """Over a node that stays its maker's to close. `again` makes another in a forked child: then both are ours."""
        self._again = again
        self._node: Node | None = node
        self._closed = False
        self._lock = threading.Lock()
        forks.tell(self)

    @classmethod
    def open(cls, config: str | Path | Mapping[str, Any] | None = None, *, timeout: float = TIMEOUT_S) -> Self:
        """The cluster of a configuration: a file's path, or what such a file says, relative to the working directory.

        Starts and makes what is missing, within `timeout` seconds, as `hotpath-shard up` does. Raises ConfigError and
        what else `up` says.
        """
        settings = settings_of(config)

        def again() -> Node:
            return _started(settings, start=False, timeout_s=timeout)

        return cls(_started(settings, start=True, timeout_s=timeout), again)

    def close(self) -> None:
        """Let go of all connections; the servers go on. What is used behind this raises."""
        with self._lock:
            self._closed = True
            node, self._node = self._node, None
        if node is not None and self._again is not None:
            node.close()
            node.house.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
                 ) -> None:
        self.close()

    @property
    def node(self) -> Node:
        """What this process holds of the cluster."""
        node = self._node
        return self._made_again() if node is None else node

    # ---- rows

    def table(self, name: str) -> Rows:
        """The rows of a table. Raises UnknownTable."""
        return Rows(lambda: self.node, self.node.table(name))

    # ---- the cluster

    def owner(self, table: str, key: object) -> dict[str, Any]:
        """Where a key belongs: `{"key", "hash", "slot", "owner", "source"}`. Raises UnknownTable, InvalidRow."""
        node = self.node
        return node.owner(table, key_of_python(node.table(table), key))

    def status(self) -> dict[str, Any]:
        """The document of `GET /v1/cluster`. Raises ShardUnavailable if the map's database never answered."""
        return self.node.status()

    def verify(self) -> dict[str, Any]:
        """Each row on its owner, once, and equal where two copies stand: `{"ok", "rows", "misplaced", …}`."""
        return self.node.admin.verify()

    def add_shard(self, name: str, weight: float = 1.0, *, dsn: str | None = None, rate: float | None = None,
                  hold: bool = False, keep_source: bool | None = None) -> Following:
        """Put one more shard in, and move its share there; in the background, by this or another router.

        `rate`: rows per second, 0 without a cap, None as configured. `hold`: stop once all is copied and verified.
        Raises ReshardConflict.
        """
        return self._following(self.node.admin.add(name, weight, dsn, rate=rate, hold=hold or None,
                                                   keep_source=keep_source))

    def remove_shard(self, name: str, *, rate: float | None = None, hold: bool = False,
                     keep_source: bool | None = None, keep_server: bool = False) -> Following:
        """Move all that a shard has to the others, then stop its server, as `add_shard`. Raises ReshardConflict."""
        return self._following(self.node.admin.remove(name, rate=rate, hold=hold or None, keep_source=keep_source,
                                                      keep_server=keep_server))

    def reshard(self) -> Following | None:
        """The one that runs, or the last; None: there was none yet."""
        document = self.node.admin.document()
        return None if document is None else self._following(document)

    # ---- how

    def before_fork(self) -> None:
        """In the child no thread of ours would be there to give the lock back."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """The child's threads and connections are made when it first needs them."""
        if child and self._again is not None:
            self._node = None
        self._lock.release()

    def _made_again(self) -> Node:
        with self._lock:
            if self._closed or self._again is None:
                raise HotpathError("the cluster was closed")
            if self._node is None:
                self._node = self._again()
            return self._node

    def _following(self, document: dict[str, Any]) -> Following:
        return Following(lambda: self.node.admin, document)


def settings_of(config: str | Path | Mapping[str, Any] | None) -> ShardConfig:
    """The configuration of a file, or as such a file says it. Raises ConfigError."""
    if not isinstance(config, Mapping):
        return load_config(config)
    text = unparse(msgspec.to_builtins(config, str_keys=True, enc_hook=str))
    return based(loads(text, ShardConfig, file="config"), Path.cwd())


def _started(config: ShardConfig, *, start: bool, timeout_s: float) -> Node:
    house = bring_up(config, start=start, timeout_s=timeout_s)
    try:
        node = Node(config, house)
        try:
            node.start()
        except BaseException:
            node.close()
            raise
    except BaseException:
        house.close()
        raise
    return node
