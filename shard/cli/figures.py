"""Numbers as a person reads them."""
from __future__ import annotations


def count(n: int | None) -> str:
    """`12,345`; a dash for what nobody knows."""
    return "–" if n is None else f"{n:,}"


def percent(part: float, whole: float = 1.0) -> str:
    """`25.0 %`; of nothing, all is done."""
    return f"{100 * part / whole:.1f} %" if whole else "100.0 %"


def per_s(rate: float) -> str:
    """`18,200/s`."""
    return f"{rate:,.0f}/s"


def cap(rate: float) -> str:
    """A limit on a rate: 0 is none."""
    return "no cap" if rate == 0 else f"cap {per_s(rate)}"


def span(seconds: float | None) -> str:
    """`8 s`, `3 m 20 s`, `2 h 5 m`; a dash for what nobody knows."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} m {whole} s"
    return f"{minutes // 60} h {minutes % 60} m"


def plural(n: int, one: str) -> str:
    """`1 slot`, `2,000 slots`."""
    return f"{n:,} {one}{'' if n == 1 else 's'}"
