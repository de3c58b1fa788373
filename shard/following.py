"""A reshard in hand: look at it, wait for it, steer it."""
from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotpath.core.errors import ReshardConflict, ShardUnavailable

from .mover.reshard import OVER

if TYPE_CHECKING:
    from .mover import Admin

Document = dict[str, Any]

LOOK_S = 0.05


class Following:
    """The reshard that ran when this was made. Its methods answer the document of `GET /v1/cluster/reshard`.

    All raise ShardUnavailable while the map's database is down, and those that steer ReshardConflict.
    """

    def __init__(self, admin: Callable[[], Admin], document: Document) -> None:
        self._admin = admin
        self._last = document

    @property
    def id(self) -> str:
        """Its name."""
        return str(self._last["id"])

    def progress(self) -> Document:
        """How far it is; as it was last seen, once another one has begun."""
        document = self._admin().document()
        if document is not None and document["id"] == self.id:
            self._last = document
        return self._last

    def wait(self, timeout: float | None = None) -> Document:
        """Return once it is done or cancelled, or holds and waits for `complete`. `timeout` in seconds: TimeoutError.

        Raises ReshardConflict if it was paused by an error: somebody must look at that, and resume or cancel it.
        """
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                document = self.progress()
            except ShardUnavailable:
                # The map's database may come back, and the reshard goes on.
                document = self._last
            if document["state"] in OVER or (document["state"] == "verified" and document["hold"]):
                return document
            if document["paused"] and document["error"]:
                raise ReshardConflict(f"paused: {document['error']}")
            left_s = LOOK_S if deadline_s is None else deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"{self.id} is {document['state']} still after {timeout:g} s")
            time.sleep(min(LOOK_S, left_s))

    def pause(self) -> Document:
        """Stop after the chunk that is being written."""
        return self._steered(self._admin().pause())

    def resume(self) -> Document:
        """Go on, also after an error."""
        return self._steered(self._admin().resume())

    def throttle(self, rate: float) -> Document:
        """Rows per second from now on; 0: no cap."""
        return self._steered(self._admin().throttle(rate))

    def complete(self) -> Document:
        """End the hold: from here on it cannot be taken back."""
        return self._steered(self._admin().complete())

    def cancel(self) -> Document:
        """Take all of it back, and keep what clients wrote meanwhile."""
        return self._steered(self._admin().cancel())

    def _steered(self, document: Document) -> Document:
        if document["id"] == self.id:
            self._last = document
        return document
