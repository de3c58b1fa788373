"""A reshard as three bars: copied, verified, cleaned."""
from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .documents import ReshardDoc
from .figures import cap, count, per_s, percent, plural, span

BAR_CELLS = 32
STYLES = {"done": "bold green", "verified": "green", "cancelled": "yellow", "cancelling": "yellow"}


def bars(reshard: ReshardDoc) -> RenderableType:
    """How far each step is."""
    total = reshard.total
    steps = Table.grid(padding=(0, 2, 0, 0))
    steps.add_column(style="dim")
    steps.add_column()
    steps.add_column(justify="right")
    steps.add_column()
    for name, done in steps_of(reshard):
        bar = ProgressBar(total=max(1, total or 1), completed=done if total else 0, width=BAR_CELLS,
                          style="bright_black", complete_style="cyan", finished_style="green")
        share = percent(done, total) if total is not None else "–"
        steps.add_row(name, bar, share, f"{count(done)} of {count(total)} rows")
    return Group(heading(reshard), steps, Text(footing(reshard), "dim"), *error_of(reshard))


def steps_of(reshard: ReshardDoc) -> tuple[tuple[str, int], ...]:
    """Each step, and the rows that are through it."""
    rows = reshard.rows
    return ("copied", rows.copied + rows.pulled), ("verified", rows.verified), ("cleaned", rows.deleted)


def heading(reshard: ReshardDoc) -> Text:
    """What it is, and where it stands."""
    state = "paused" if reshard.paused else "held" if reshard.is_held else reshard.state
    text = Text.assemble((reshard.title, "bold"), "  ", (state, STYLES.get(state, "cyan")))
    if state != reshard.state:
        text.append(f" in {reshard.state}")
    return text.append(f"  {route_of(reshard)}", "dim")


def route_of(reshard: ReshardDoc) -> str:
    """`s0, s1, s2 → s3`."""
    sources = ", ".join(dict.fromkeys(move.source for move in reshard.moves))
    targets = ", ".join(dict.fromkeys(move.target for move in reshard.moves))
    return f"{sources} → {targets}" if reshard.moves else ""


def footing(reshard: ReshardDoc) -> str:
    """Slots, rows that clients' writes took along, speed, and what is left of the time."""
    slots, rows = reshard.slots, reshard.rows
    lines = [f"slots     {count(slots.copied)} of {count(slots.total)} copied, {count(slots.verified)} verified",
             f"rows      {count(rows.pulled)} moved by writes of clients"]
    if reshard.is_copying:
        lines.append(f"speed     {per_s(reshard.rate.now)}, {cap(reshard.rate.limit)}; ETA {span(reshard.eta_s)}")
    return "\n".join(lines)


def error_of(reshard: ReshardDoc) -> list[Text]:
    """What stopped it."""
    return [] if reshard.error is None else [Text(reshard.error, "bold red")]


def line(reshard: ReshardDoc) -> str:
    """The same as one line, where no bar can be drawn."""
    total = reshard.total
    done = "rows not counted yet" if total is None else (
        f"{' '.join(f'{name} {percent(n, total)}' for name, n in steps_of(reshard))} of {plural(total, 'row')}")
    state = f"{reshard.state}, paused" if reshard.paused else "verified, held" if reshard.is_held else reshard.state
    speed = f", {per_s(reshard.rate.now)}, ETA {span(reshard.eta_s)}" if reshard.is_copying else ""
    error = "" if reshard.error is None else f", {reshard.error}"
    return f"{reshard.title}: {state}, {done}{speed}{error}"
