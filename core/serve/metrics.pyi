from collections.abc import Mapping

GAUGES: tuple[str, ...]
BUCKETS_S: tuple[float, ...]
REJECTIONS: tuple[str, ...]
CLASSES: tuple[str, ...]

def counter_names(patterns: list[str]) -> tuple[str, ...]: ...
def expose(totals: Mapping[str, int], gauges: Mapping[str, int], facts: Mapping[str, int]) -> str: ...
