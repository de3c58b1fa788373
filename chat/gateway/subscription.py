"""What this gateway hears: topics are subscribed for as long as somebody here needs them, whatever becomes of Redis."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from hotpath.core.net.loop import Loop

from .redisline import RedisLine, command

# Topics of one command: an answer comes for each of them, and others are served in between.
AT_ONCE = 500


class Subscription:
    """The topics we want, and whether Redis has acknowledged them.

    Redis answers in order, so a topic is ours exactly when all answers that are owed for it have come and we want it.
    """

    def __init__(
        self, loop: Loop, url: Callable[[], str], *, feed: Callable[[bytes], object], forget: Callable[[], object],
        on_whole: Callable[[], object], on_down: Callable[[], object]
    ) -> None:
        """`feed(bytes)`: what comes, for whoever reads it and calls `answered`. `forget()`: a new connection begins,
        half a message is none. `on_whole()`: everything wanted is acknowledged again, after a time when it was not.
        """
        self._feed, self._forget = feed, forget
        self._on_whole, self._on_down = on_whole, on_down
        self._wanted: set[str] = set()
        self._owed: dict[str, int] = {}     # answers to come, by topic
        self._was_whole = False
        self.line = RedisLine(loop, url, on_up=self._up, on_data=self._feed, on_down=self._down)

    @property
    def is_whole(self) -> bool:
        """Whether everything that is published on the wanted topics comes here now."""
        return self.line.is_up and not self._owed

    def has(self, topic: str) -> bool:
        """Whether what is published on `topic` from now on comes here."""
        return self.line.is_up and topic in self._wanted and topic not in self._owed

    def add(self, topics: Iterable[str]) -> None:
        """Want these too."""
        new = [topic for topic in topics if topic not in self._wanted]
        self._wanted.update(new)
        self._tell("SUBSCRIBE", new)

    def remove(self, topics: Iterable[str]) -> None:
        """Want these no more."""
        old = [topic for topic in topics if topic in self._wanted]
        self._wanted.difference_update(old)
        self._tell("UNSUBSCRIBE", old)

    def answered(self, topic: str) -> None:
        """Redis has done what it was told of this topic."""
        owed = self._owed.get(topic, 0)
        if owed > 1:
            self._owed[topic] = owed - 1
            return
        self._owed.pop(topic, None)
        if self.is_whole and not self._was_whole:
            self._was_whole = True
            self._on_whole()

    def _tell(self, verb: str, topics: list[str]) -> None:
        if not self.line.is_up:
            return                          # all that is wanted is told once it is
        for at in range(0, len(topics), AT_ONCE):
            some = topics[at:at + AT_ONCE]
            if not self.line.write(command(verb, *some)):
                self.line.cut()             # it does not keep up, and what it has not heard it must be told anew
                return
            for topic in some:
                self._owed[topic] = self._owed.get(topic, 0) + 1

    def _up(self) -> None:
        self._forget()
        self._was_whole = False
        self._owed.clear()
        self._tell("SUBSCRIBE", list(self._wanted))

    def _down(self) -> None:
        self._owed.clear()
        self._was_whole = False
        self._on_down()
