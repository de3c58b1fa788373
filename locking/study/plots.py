"""The study as three pictures: what is committed, how long a unit takes, and what was in vain, as conflicts grow."""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import fmean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from matplotlib.typing import RcKeyType

from .files import write_whole
from .grid import POLICIES
from .lines import Line
from .summary import Crossing, Summary

STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",             # text stays text: it can be searched, read aloud and translated
    "svg.hashsalt": "hotpath",          # the same figures make the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],     # comes with matplotlib
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": "#e6e6e6",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "figure.facecolor": "white",
}
# Okabe and Ito's colours, which the colour-blind tell apart too; and each has a mark of its own.
LOOKS = {
    "naive": ("#999999", "x"),
    "optimistic": ("#0072b2", "o"),
    "pessimistic": ("#d55e00", "s"),
    "escalating": ("#009e73", "^"),
    "adaptive": ("#b0478c", "D"),
    "atomic": ("#000000", "."),
}
NAMES = {"naive": "naive (loses updates)"}
CROSSING_COLOR = "#444444"
PANEL_INCHES = (2.9, 2.3)
LABELS_INCHES = 1.7                     # on the right, for the policies' names
HEAD_INCHES = 1.15
FOOT_INCHES = 0.6
PNG_DPI = 130
ROWS_STEP = 0.09                        # of a panel's width: as near two numbers of rows may stand
LABEL_STEP = 0.085                      # of a panel's height: names nearer than this would cover each other


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture. `figure`: what it shows of a line; None: that line has none."""

    name: str
    title: str
    unit: str
    figure: Callable[[Line], float | None]
    is_log: bool = False
    is_share: bool = False


PLOTS = (
    Plot("throughput", "Work done", "units of work committed per second", lambda line: line.throughput),
    Plot("p99", "Waiting", "99 of 100 units of work, with their retries, are done within … ms",
         lambda line: line.p99_ms, is_log=True),
    Plot("wasted", "Work in vain", "time in attempts that failed, of the time in all", lambda line: line.wasted_pct,
         is_share=True),
)
# A curve: (conflict probability, figure), by rising probability.
Curve = list[tuple[float, float]]


def draw(lines: Sequence[Line], summary: Summary, out: Path) -> None:
    """NAME.png and NAME.svg of each plot. Raises OSError."""
    with matplotlib.rc_context(STYLE):
        for plot in PLOTS:
            picture = drawn(plot, lines, summary)
            for kind in ("png", "svg"):
                data = BytesIO()
                picture.savefig(data, format=kind, dpi=PNG_DPI, metadata={"Date": None} if kind == "svg" else None)
                write_whole(out / f"{plot.name}.{kind}", data.getvalue())


def drawn(plot: Plot, lines: Sequence[Line], summary: Summary) -> Figure:
    """A panel for each number of workers, left to right, and each time of work, top to bottom."""
    # A worker alone meets no conflict: its panel would be one point wide.
    workers = sorted({line.workers for line in lines if line.workers > 1} or {1})
    works = sorted({line.work_ms for line in lines})
    width = PANEL_INCHES[0] * len(workers) + LABELS_INCHES
    height = PANEL_INCHES[1] * len(works) + HEAD_INCHES + FOOT_INCHES
    picture = Figure(figsize=(width, height))
    panels = picture.subplots(len(works), len(workers), sharex=True, sharey="row", squeeze=False)
    picture.subplots_adjust(left=0.75 / width, right=1 - LABELS_INCHES / width, top=1 - HEAD_INCHES / height,
                            bottom=FOOT_INCHES / height, wspace=0.08, hspace=0.32)
    crossings = {(one["work_ms"], one["workers"]): one for one in summary["crossover"]}
    widest = max((line.conflict_prob or 0.0 for line in lines), default=0.0) or 0.01
    for row, work_ms in zip(panels, works, strict=True):
        for panel, n in zip(row, workers, strict=True):
            here = [line for line in lines if (line.work_ms, line.workers) == (work_ms, n)]
            curves = curves_of(plot, here)
            for policy, curve in curves.items():
                color, mark = LOOKS[policy]
                panel.plot(*zip(*curve, strict=True), color=color, marker=mark, markersize=4, linewidth=1.6,
                           linestyle=":" if policy == "naive" else "-")
            panel.set_xlim(-0.04 * widest, 1.04 * widest)
            mark_crossing(panel, crossings.get((work_ms, n)))
            panel.set_title(f"{n} worker{'s'[:n > 1]}, {work_ms:g} ms of work", fontsize=9, loc="left", pad=17,
                            color="#333333")
            mark_rows(panel, here, widest)
        # The panels of a row share their scale, so it is set once all have their curves.
        scale(row[-1], plot)
        label(row[-1], curves)
    head(picture, plot, summary, width, height)
    return picture


def curves_of(plot: Plot, lines: Sequence[Line]) -> dict[str, Curve]:
    """The curve of each policy: a point for each number of rows, means over the repeats."""
    points = defaultdict[tuple[str, int], list[tuple[float, float]]](list)
    for line in lines:
        figure = plot.figure(line)
        if line.conflict_prob is not None and figure is not None:
            points[line.policy, line.rows].append((line.conflict_prob, figure))
    curves: dict[str, Curve] = {}
    for policy in POLICIES:
        curve = sorted((fmean(x for x, _ in many), fmean(y for _, y in many))
                       for (name, _), many in points.items() if name == policy)
        if curve:
            curves[policy] = curve
    return curves


def scale(panel: Axes, plot: Plot) -> None:
    """Ticks that can be read, for all panels of the row."""
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    if plot.is_log:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    elif plot.is_share:
        panel.set_ylim(-3, 103)
        panel.yaxis.set_major_formatter(PercentFormatter(100.0, decimals=0))
    else:
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def mark_crossing(panel: Axes, crossing: Crossing | None) -> None:
    """A line where pessimistic overtakes optimistic."""
    at = crossing["conflict_prob"] if crossing else None
    if at is None:
        return
    panel.axvline(at, color=CROSSING_COLOR, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    panel.annotate(f"{100 * at:.0f} %", (at, 1), xycoords=("data", "axes fraction"), xytext=(2, -1),
                   textcoords="offset points", va="top", fontsize=8, color=CROSSING_COLOR,
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.75})


def mark_rows(panel: Axes, lines: Sequence[Line], widest: float) -> None:
    """Above the panel: how many rows its points stand for, as far as there is room."""
    found = defaultdict[int, list[float]](list)
    for line in lines:
        if line.conflict_prob is not None:
            found[line.rows].append(line.conflict_prob)
    right = math.inf
    for rows, probabilities in sorted(found.items()):
        at = fmean(probabilities)
        if right - at > ROWS_STEP * widest:
            panel.annotate(f"{rows:,} row{'s'[:rows > 1]}" if right == math.inf else f"{rows:,}", (at, 1),
                           xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha="center",
                           fontsize=7, color="#777777")
            right = at


def label(panel: Axes, curves: dict[str, Curve]) -> None:
    """The policies' names beside the ends of their curves, pushed apart where they meet."""
    into = panel.transData + panel.transAxes.inverted()
    ends = {policy: into.transform(curve[-1]) for policy, curve in curves.items()}
    places = apart([float(end[1]) for end in ends.values()], LABEL_STEP)
    for (policy, end), y in zip(ends.items(), places, strict=True):
        color = LOOKS[policy][0]
        panel.annotate(
            NAMES.get(policy, policy), tuple(end), xycoords="axes fraction", xytext=(1.06, y), va="center",
            color=color, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3,
                        "relpos": (0, 0.5)})


def apart(wanted: Sequence[float], step: float) -> list[float]:
    """Places in 0 … 1 near those wanted, in the same order, none nearer to the next than `step` if there is room."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[int]] = []        # names that touch; each group is centred on what it wants

    def lowest(group: list[int]) -> float:
        height = step * (len(group) - 1)
        return max(0.0, min(1.0 - height, fmean(wanted[i] for i in group) - height / 2))

    for i in order:
        groups.append([i])
        while len(groups) > 1 and lowest(groups[-1]) < lowest(groups[-2]) + step * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [0.0] * len(wanted)
    for group in groups:
        for nth, i in enumerate(group):
            places[i] = lowest(group) + nth * step
    return places


def head(picture: Figure, plot: Plot, summary: Summary, width: float, height: float) -> None:
    """What all panels share: title, axes, and what the dashed line is."""
    left = 0.12 / width
    picture.text(left, 1 - 0.1 / height, f"{plot.title} as conflicts grow: {summary['server']}", va="top", fontsize=12,
                 fontweight="bold", color="#222222")
    picture.text(left, 1 - 0.37 / height, "Each point is a number of rows that the workers share: the fewer, the more "
                 "conflicts.\nDashed line: where pessimistic overtakes optimistic.", va="top", color="#555555")
    picture.supxlabel("conflict probability: how many of a hundred optimistic attempts failed there",
                      fontsize=9, color="#333333", y=0.12 / height)
    picture.supylabel(plot.unit, fontsize=9, color="#333333", x=0.12 / width)
