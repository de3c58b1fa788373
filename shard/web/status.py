"""The document of the cluster, asked for once however many want to see it."""
from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from hotpath.core.tasks import Task, spawn

from .lanes import STATUS, Lanes

Document = dict[str, Any]

# A document as old as this is as good as a new one.
FRESH_S = 0.2


class Status:
    """Of one worker."""

    def __init__(self, ask: Callable[[], Document], lanes: Lanes) -> None:
        """`ask` may block, for about a second."""
        self._ask = ask
        self._lanes = lanes
        self._task: Task[Document] | None = None
        self._document: Document | None = None
        self._asked_s = 0.0

    def document(self) -> Document:
        """As it is now. Raises ShardUnavailable when the meta database does not answer."""
        if self._document is not None and monotonic() - self._asked_s < FRESH_S:
            return self._document
        if self._task is None or self._task.done:
            self._task = spawn(self._fetch)
        return self._task.result()

    def forget(self) -> None:
        """Something was changed: ask again."""
        self._document = None

    def _fetch(self) -> Document:
        asked_s = monotonic()
        document = self._lanes.call(STATUS, self._ask)
        for shard in document["shards"]:
            # Who waits before a thread is his waits for a connection, too.
            shard["pool"]["waiting"] += self._lanes.waiting(shard["name"])
        self._document, self._asked_s = document, asked_s
        return document
