"""What replication needs to know of the configuration."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hotpath.crdt.config import CrdtConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """How a replica talks to its peers."""

    peers: Sequence[tuple[str, str, str]] = ()      # name, url, public
    push: bool = True
    interval_s: float = 0.5
    timeout_s: float = 5.0
    max_drift_s: float = 5.0
    after_s: float = 24 * 3600.0
    gc_interval_s: float = 60.0
    token: str | None = None
    max_body: int = 64 * 1024 * 1024
    max_key: int = 1024
    max_value: int = 1024 * 1024
    drill: bool = False

    @classmethod
    def of(cls, config: CrdtConfig) -> Settings:
        """Those of a configuration."""
        return cls(
            peers=peers_of(config), push=config.sync.push, interval_s=config.sync.interval,
            timeout_s=config.sync.timeout, max_drift_s=config.clock.max_drift, after_s=config.gc.after,
            gc_interval_s=config.gc.interval, token=config.secret,
            max_body=config.limits.body or 2**31, max_key=config.limits.key, max_value=config.limits.value,
            drill=config.drill)


def peers_of(config: CrdtConfig) -> list[tuple[str, str, str]]:
    """(name, url, public) of each configured peer."""
    return [(peer.name, peer.url, peer.public or "") for peer in config.peers]
