"""The ring as a picture that stands alone: whose is which slot, and what is on its way."""
from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from math import cos, pi, sin

from hotpath.shard.schema import SLOTS
from hotpath.shard.topology import MoveState, Topology

SVG = "image/svg+xml"

SIZE = 320
CENTRE = SIZE / 2
OWNERS_R, OWNERS_WIDTH = 128.0, 28
MOVING_R, MOVING_WIDTH = 104.0, 8
LINE = 22                       # of the legend
HUES = 8

# In these a slot still has rows on its old shard.
MOVING = (MoveState.PLANNED, MoveState.DUAL, MoveState.COMPLETE, MoveState.REVERSE)

# The colours of the page, by a shard's place in the list.
LIGHT = ("#1864ab", "#c2410c", "#2b7a3d", "#7b2cbf", "#a61e4d", "#0b7285", "#7b5b50", "#566700")
DARK = ("#74b8f5", "#ff9466", "#7fd491", "#c79bf2", "#f78fb3", "#66d9e8", "#d0b8ac", "#c0d860")


def _rules(colours: tuple[str, ...]) -> str:
    return "".join(f".h{i}{{stroke:{colour};fill:{colour}}}" for i, colour in enumerate(colours))


STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1c1b1a}.soft{fill:#5c5854}.paper{fill:#fff}path{fill:none!important}"
    + _rules(LIGHT) + "@media(prefers-color-scheme:dark){text{fill:#edeae6}.soft{fill:#aaa49d}.paper{fill:#211f1d}"
    + _rules(DARK) + "}")

# Shown by itself it is a document of ours: nothing but these rules applies in it.
POLICY = (f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
          "frame-ancestors 'none'")


def picture(topology: Topology, cluster: str) -> str:
    """The SVG of this map. Each `path` says in `data-shard` whose slots it draws, in `data-ring` on which ring."""
    names = [member.name for member in topology.members]
    shards = "1 shard" if len(names) == 1 else f"{len(names)} shards"
    height = SIZE + LINE * len(names) + 8
    moving = [move for move in topology.moves if move.state in MOVING]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {height}" role="img" '
        f'aria-labelledby="ring-title ring-about" data-version="{topology.version}">',
        f'<title id="ring-title">{escape(cluster)}: {shards} on the ring</title>',
        f'<desc id="ring-about">{escape(_told(topology, names))}</desc>',
        f"<style>{STYLE}</style>",
        # What it stands on need not be as light, or as dark, as whoever looks prefers.
        f'<rect class="paper" width="{SIZE}" height="{height}" rx="12"/>']
    for i, name in enumerate(names):
        runs = topology.slots[name].runs
        if runs:
            parts.append(_path(runs, OWNERS_R, OWNERS_WIDTH, i, name, "owners"))
    for move in moving:
        parts.append(_path(move.slots.runs, MOVING_R, MOVING_WIDTH, names.index(move.source), move.source, "sources"))
    parts.append(f'<text x="{CENTRE:g}" y="{CENTRE - 2:g}" text-anchor="middle">{escape(cluster)}</text>')
    state = "moving" if topology.moves else "stable"
    parts.append(f'<text class="soft" x="{CENTRE:g}" y="{CENTRE + 18:g}" text-anchor="middle">{state}</text>')
    for i, name in enumerate(names):
        y = SIZE + LINE * i + 14
        n = len(topology.slots[name])
        parts.append(f'<rect class="h{i % HUES}" x="24" y="{y - 11}" width="12" height="12"/>'
                     f'<text x="46" y="{y}">{escape(name)}</text>'
                     f'<text class="soft" x="{SIZE - 24}" y="{y}" text-anchor="end">{n} slots, {n / SLOTS:.1%}</text>')
    return "".join((*parts, "</svg>\n"))


def _told(topology: Topology, names: list[str]) -> str:
    shares = ", ".join(f"{name} {len(topology.slots[name]) / SLOTS:.1%}" for name in names)
    moving = sum(len(move.slots) for move in topology.moves if move.state in MOVING)
    return f"Share of the slots: {shares}." + (f" {moving} slots are on their way." if moving else "")


def _path(runs: tuple[tuple[int, int], ...], radius: float, width: int, index: int, name: str, ring: str) -> str:
    arcs = "".join(_arc(first, last + 1, radius) for first, last in runs)
    return (f'<path class="h{index % HUES}" data-shard="{escape(name)}" data-ring="{ring}" '
            f'stroke-width="{width}" d="{arcs}"/>')


def _arc(start: int, stop: int, radius: float) -> str:
    if stop - start > SLOTS // 2:       # an arc of a whole turn would draw nothing
        middle = (start + stop) // 2
        return _arc(start, middle, radius) + _arc(middle, stop, radius)
    (x0, y0), (x1, y1) = _point(start, radius), _point(stop, radius)
    return f"M{x0:.2f} {y0:.2f}A{radius:g} {radius:g} 0 0 1 {x1:.2f} {y1:.2f}"


def _point(slot: int, radius: float) -> tuple[float, float]:
    """Slot 0 is at the top, and they go clockwise."""
    angle = 2 * pi * slot / SLOTS - pi / 2
    return CENTRE + radius * cos(angle), CENTRE + radius * sin(angle)
