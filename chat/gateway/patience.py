"""Reading although the database is away for a while: those who wait go on waiting, and nobody is disconnected."""
from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from hotpath.chat.store.errors import Unavailable
from hotpath.core.tasks import offload, sleep

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE_S = 0.05
# Once the database is back, everybody goes on within that.
LONGEST_PAUSE_S = 0.5


def patiently(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`fn(…)` in a thread, again and again until the database answers."""
    attempt = 0
    while True:
        try:
            return offload(fn, *args, **kwargs)
        except Unavailable as error:
            attempt += 1
            if attempt == 1:
                log.warning("database away cause=%s", error)
            sleep(random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**attempt)))
