from collections.abc import Iterable, Mapping

from hotpath.core.data.shared import Counters, Gauges
from hotpath.proxy.config import ProxyConfig
from hotpath.proxy.roster import Roster

CODES: tuple[int, ...]
OTHER: int
BUCKETS_S: tuple[float, ...]
REJECTIONS: tuple[str, ...]
GAUGES: tuple[str, ...]

def counter_names(config: ProxyConfig, n_slots: int) -> tuple[str, ...]: ...
def by_worker(gauges: Gauges) -> list[dict[str, int]]: ...
def expose(
    totals: Mapping[str, int],
    gauges: Mapping[str, int],
    *,
    servers: Iterable[tuple[str, str, bool]],
    facts: Mapping[str, int],
) -> str: ...

class ByServer:
    def __init__(self, counters: Counters, config: ProxyConfig, roster: Roster) -> None: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def total(self, i: int) -> int: ...
    def requests_of(self, slot: int) -> int: ...
    def retire(self, slot: int) -> None: ...
