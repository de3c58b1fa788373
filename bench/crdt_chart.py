"""A picture of a heal: how many keys differ between each two replicas, over time, as SVG for light and dark pages."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

Point = tuple[float, int]       # seconds, keys

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 44
MOST_POINTS = 100
# Colours that differ in lightness too, on white and on dark; and each line has its own dashes.
STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2328}
.axis{stroke:#8c959f}.grid{stroke:#d0d7de}path{fill:none;stroke-width:2.5}
.s0{stroke:#0550ae}.s1{stroke:#bc4c00;stroke-dasharray:8 4}.s2{stroke:#1a7f37;stroke-dasharray:2 4}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#6e7681}.grid{stroke:#30363d}
.s0{stroke:#79c0ff}.s1{stroke:#ffa657}.s2{stroke:#7ee787}}"""


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about MOST_POINTS of them, the first and the last among them."""
    step = max(1, len(points) // MOST_POINTS)
    kept = list(points[::step])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** -9
    while True:
        for step in (1, 2, 5):
            if step * power >= value * (1 - 1e-9):
                return step * power
        power *= 10


def drawn(series: Mapping[str, Sequence[Point]], *, title: str) -> str:
    """The SVG. Each line holds its value until the next point."""
    last_ms = round_up(1000 * max(points[-1][0] for points in series.values()))
    most = round_up(max(keys for points in series.values() for _s, keys in points))

    def x(ms: float) -> float:
        return round(LEFT + ms / last_ms * (WIDTH - LEFT - RIGHT), 1)

    def y(keys: float) -> float:
        return round(HEIGHT - BOTTOM - keys / most * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
             f"<style>{STYLE}</style>", f'<text x="{LEFT}" y="20">{title}</text>']
    for i in range(6):
        keys, ms = most * i / 5, last_ms * i / 5
        level, kind = y(keys), "grid" if i else "axis"
        parts += [f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level}" y2="{level}"/>',
                  f'<text x="{LEFT - 8}" y="{level + 4}" text-anchor="end">{keys:g}</text>',
                  f'<text x="{x(ms)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{ms:g}</text>']
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">ms after the heal</text>')
    for i, (name, points) in enumerate(series.items()):
        kept = thinned(points)
        way = f"M{x(1000 * kept[0][0])} {y(kept[0][1])}" + "".join(f"H{x(1000 * s)}V{y(keys)}" for s, keys in kept[1:])
        at, level = WIDTH - RIGHT - 90, TOP + 14 + 20 * i
        parts += [f'<path class="s{i}" d="{way}H{x(last_ms)}"/>', f'<path class="s{i}" d="M{at} {level}h36"/>',
                  f'<text x="{at + 44}" y="{level + 4}">{name}</text>']
    return "\n".join([*parts, "</svg>"]) + "\n"
