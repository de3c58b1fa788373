from collections.abc import Iterable, Mapping

from hotpath.proxy.config import ProxyConfig

CODES: tuple[int, ...]
OTHER: int
BUCKETS_S: tuple[float, ...]
REJECTIONS: tuple[str, ...]
GAUGES: tuple[str, ...]

def counter_names(config: ProxyConfig) -> tuple[str, ...]: ...
def expose(
    totals: Mapping[str, int],
    gauges: Mapping[str, int],
    *,
    ejected: Iterable[tuple[str, str, bool]],
    facts: Mapping[str, int],
) -> str: ...
