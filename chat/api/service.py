"""All that the API's views work with, in one process: made once, closed once."""
from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from hotpath.chat.auth import AT_ONCE, Hasher, secret
from hotpath.chat.config import ChatConfig
from hotpath.chat.connect import Registry
from hotpath.chat.limits import Limit
from hotpath.chat.store import Database, Operation, Reader, Writer
from hotpath.chat.store.publisher import Publisher
from hotpath.chat.store.relay import Relay

from .bridge import Bridge, Threads
from .metrics import Metrics
from .sessions import Sessions

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Requests that wait for a thread, at most; whoever comes then is told to come back.
MAX_READS = 1000
MAX_HASHES = 200


class Service:
    """The database and its threads, who is who, and what they may do how often."""

    def __init__(self, config: ChatConfig, listening: str, *, new_epoch: bool = False) -> None:
        """Open all of it. Raises Unavailable, ConfigError or OSError.

        `listening`: HOST:PORT as bound. ValueError: an embedded Redis has no address yet; whoever starts it knows it.
        """
        if config.redis.is_embedded:
            raise ValueError("redis.url is `embedded`: put its address there first")
        self.config = config
        self.is_draining = False
        self.is_secure = (config.public_url or "").startswith("https:")
        self.cookie_path = config.public_path
        config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.secret = secret(config.folder)
        self.database = Database.open(config)
        if new_epoch:
            log.info("new epoch=%s", self.database.new_epoch())
        self.reader = Reader(self.database)
        self.bridge = Bridge()
        self._reads = Threads(self.bridge, "the database", n_threads=config.database.pool, max_waiting=MAX_READS)
        self.hashing = Threads(self.bridge, "passwords", n_threads=AT_ONCE, max_waiting=MAX_HASHES)
        self.hasher = Hasher()
        self.metrics = Metrics()
        self.sessions = Sessions(lambda token_hash: self.read(self.reader.session, token_hash),
                                 config.allowed_origins(listening))
        self.send_limit = Limit("messages", config.limits.send)
        self.login_limit = Limit("logins with this name", config.limits.login)
        self.connect_limit = Limit("connects", config.limits.connect)
        where = config.redis.url
        self.registry = Registry(lambda: where, config.redis.prefix)
        self.writer = Writer(self.database, publish=lambda batch: self.publisher.publish(batch))
        self.publisher = Publisher(lambda: where, config.redis.prefix, published=self.writer.marks.published)
        self.relay = Relay(self.database, self.writer, lambda: where, config.redis.prefix)
        self.registry.start()
        self.publisher.start()
        self.writer.start()
        self.relay.start()

    def close(self) -> None:
        """Behind the last request: end each thread, and what it holds."""
        self.relay.stop()
        self.writer.stop()
        self.publisher.stop()
        self.registry.stop()
        self._reads.stop()
        self.hashing.stop()
        self.bridge.close()
        self.database.close()

    def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` answers, called in a thread that may block. Raises what it raises, or Overloaded."""
        return self._reads.call(function, *args, **kwargs)

    def write(self, operation: Operation) -> object:
        """What the writer made of `operation`, once it is committed and synced. Raises Refused or Unavailable."""
        return self.bridge.wait(lambda done: self.writer.submit(operation, done))

    def make(self, operation: Operation) -> tuple[object, bool]:
        """As `write`, of an operation that also says whether it made something new."""
        return cast(tuple[object, bool], self.write(operation))

    def gateway_urls(self) -> list[str]:
        """Where sockets may go."""
        return [gateway.report.url for gateway in self.registry.gateways()]

    def exposition(self) -> str:
        """For /metrics."""
        return self.metrics.text([
            ("chat_api_commits_total", "Commits that were synced.", self.writer.n_commits),
            ("chat_api_writes_total", "Operations that were carried out.", self.writer.n_items),
            ("chat_api_published_total", "Events and notices that Redis took.", self.publisher.n_published),
            ("chat_api_unpublished_total", "Events and notices that it did not take; gateways and the relay mend it.",
             self.publisher.n_dropped),
        ], [
            ("chat_api_connections_busy", "Connections with a request under way.",
             sum(busy() for busy in self.metrics.busy)),
            ("chat_api_writes_waiting", "Operations that wait for the writer.", self.writer.depth()),
            ("chat_api_reads_waiting", "Requests that wait for a reading thread.", len(self._reads)),
            ("chat_api_hashes_waiting", "Passwords that wait to be hashed.", len(self.hashing)),
            ("chat_api_sessions_cached", "Sessions remembered for a second.", len(self.sessions)),
            ("chat_api_redis_away", "1 while Redis does not answer the registry.", int(self.registry.redis_is_away)),
        ], Counter(gateway.state for gateway in self.registry.gateways()))
