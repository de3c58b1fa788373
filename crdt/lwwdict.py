"""LWWDict: the last-write-wins table as a mapping."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping

from hotpath.core.data.lww import LWWTable


class LWWDict(LWWTable, MutableMapping[str | bytes, object]):
    """A dictionary of replicas that agree once they have merged what each of them wrote.

    Keys are `str` or `bytes` in one key space, iteration gives `str`; values are bytes or JSON. Every key is its
    greatest write: the later one by the replicas' hybrid clocks, whoever merges what, when and how often.
    """

    __slots__ = ()

    def __init__(
        self, replica: str = "a", *, bias: str = "add",
        items: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        wall_ms: Callable[[], int] | None = None
    ) -> None:
        """`replica`: the name in the stamps of writes that enter here. `bias`: `add` or `remove` wins at equal hlc.

        `wall_ms`: the wall clock, ms since 1970; without one, this host's. Raises ValueError, and what `put` does.
        """
        super().__init__(replica, bias=bias, wall_ms=wall_ms)
        if items is not None:
            self.update(items)
