"""What is worth knowing but not worth waiting for: asked in the background, and the last answer kept."""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from hotpath.core.errors import HotpathError

log = logging.getLogger(__name__)

T = TypeVar("T")

# Questions at once. Those of dead servers fill no more of them than there are dead servers.
THREADS = 32
# What took long is not asked again before so many times as long: it may take a twentieth of a server, no more.
REST = 20.0
# Quicker than this, it costs nothing worth saving.
QUICK_S = 0.05
# Who has not answered for so long, although he used to be quicker, is not up.
SILENT_S = 1.5


@dataclass(frozen=True, slots=True)
class Glimpse(Generic[T]):
    """The last answer, and whether it can be had still; None: there never was one."""

    value: T | None
    ok: bool


class _Asked(Generic[T]):
    """One name's state. Under the lock of its Glimpses."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.ok = False
        self.future: Future[None] | None = None
        self.since_s = 0.0              # when it was asked last
        self.took_s = 0.0               # until the last answer
        self.rest_until_s = 0.0


class Glimpses(Generic[T]):
    """Of one process, by name. Any thread may look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked[T]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="glimpse")

    def look(self, questions: Mapping[str, Callable[[], T]], *, within_s: float) -> dict[str, Glimpse[T]]:
        """Each name's answer, waited for `within_s` at most; then the one before, which is not `ok`."""
        with self._lock:
            now_s = time.monotonic()
            for name, question in questions.items():
                asked = self._asked.setdefault(name, _Asked())
                if asked.future is None and now_s >= asked.rest_until_s:
                    asked.since_s = now_s
                    asked.future = self._threads.submit(self._answer, asked, question)
            waiting = [future for name in questions if (future := self._asked[name].future) is not None]
        wait(waiting, timeout=within_s)
        with self._lock:
            now_s = time.monotonic()
            seen = {}
            for name in questions:
                asked = self._asked[name]
                # A long count is no silence.
                silent = asked.future is not None and now_s - asked.since_s > SILENT_S + 4 * asked.took_s
                seen[name] = Glimpse(asked.value, asked.ok and not silent)
            return seen

    def keep(self, names: Collection[str]) -> None:
        """Forget all others."""
        with self._lock:
            for name in [name for name in self._asked if name not in names]:
                del self._asked[name]

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, asked: _Asked[T], question: Callable[[], T]) -> None:
        began_s = time.monotonic()
        value: T | None = None
        ok = False
        try:
            value = question()
            ok = True
        except HotpathError as error:
            log.debug("no answer cause=%s", error)
        except Exception:
            log.exception("a question failed")
        finally:
            took_s = time.monotonic() - began_s
            with self._lock:
                asked.future = None
                asked.ok = ok
                asked.rest_until_s = 0.0
                if ok:
                    asked.value = value
                    # One slow answer of who was quick is a hiccup, and says nothing of the next one's price.
                    price_s = min(took_s, asked.took_s or took_s)
                    asked.took_s = took_s
                    if price_s > QUICK_S:
                        asked.rest_until_s = time.monotonic() + price_s * REST
