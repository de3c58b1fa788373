"""What all plots are made of: bars, columns and lines in one look, and SVG for light and dark pages."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from xml.sax.saxutils import quoteattr

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.typing import RcKeyType

# Stand-ins, which the SVG has as variables: a page is light or dark, and the picture goes with it.
PAPER, INK, FAINT, GRID = "#fefefd", "#1f2329", "#656d77", "#d0d7df"
VARIABLES = {PAPER: "paper", INK: "ink", FAINT: "faint", GRID: "grid"}
STYLE = """:root{--paper:#ffffff;--ink:#1f2328;--faint:#59636e;--grid:#d8dee4}
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--faint:#9198a1;--grid:#30363d}}"""
LOOK: dict[RcKeyType, object] = {
    "svg.fonttype": "none",             # text stays text: it can be searched, read aloud and translated
    "svg.hashsalt": "hotpath",          # the same figures make the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}
# Of middling lightness: they can be told from white and from black, and, by lightness too, from one another.
OURS, OTHERS = "#2f81f7", ("#8b949e", "#d9822b", "#b0478c", "#2da44e", "#c94f4f", "#7a6ff0", "#a08a4f")


def colour(name: str, names: Sequence[str]) -> str:
    """Of a contender among `names`; ours is the same everywhere."""
    others = [each for each in names if not each.startswith("hotpath")]
    return OTHERS[others.index(name) % len(OTHERS)] if name in others else OURS


def figure(across: int = 1, down: int = 1, *, width: float = 7.2, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """So many panels, row by row."""
    made = Figure(figsize=(width, height), layout="constrained")
    return made, list(made.subplots(down, across, squeeze=False).flat)


def legend(made: Figure, panel: Axes) -> None:
    """One for all panels, above them, where no bar is covered."""
    handles, labels = panel.get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)))


def plain(axis: object) -> None:
    """Numbers as people write them."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))      # type: ignore[attr-defined]
    axis.set_minor_formatter(NullFormatter())                                       # type: ignore[attr-defined]


def columns(panel: Axes, groups: Sequence[str], series: Mapping[str, Sequence[tuple[float, float, float]]]) -> None:
    """A group of columns for each of `groups`, a column for each series, a whisker from its least to its most."""
    wide = 0.8 / len(series)
    for i, (name, spreads) in enumerate(series.items()):
        at = [group + (i - (len(series) - 1) / 2) * wide for group in range(len(groups))]
        middle = [each[1] for each in spreads]
        panel.bar(at, middle, wide * 0.92, label=name, color=colour(name, list(series)))
        if any(low != high for low, _, high in spreads):
            panel.errorbar(at, middle, yerr=[[max(0.0, m - low) for low, m, _ in spreads],
                                             [max(0.0, high - m) for _, m, high in spreads]],
                           fmt="none", ecolor=INK, elinewidth=1)
    panel.set_xticks(range(len(groups)), groups)
    panel.grid(visible=False, axis="x")


def bars(panel: Axes, values: Mapping[str, float], *, form: str = "{:,.3g}", log: bool = False,
         of: Sequence[str] | None = None) -> None:
    """A bar for each, the first on top, its number at its end; `of`: whose each is, when its name does not say it."""
    names = list(values)
    whose = list(of or names)
    known = list(dict.fromkeys(whose))
    drawn = panel.barh(range(len(names)), list(values.values()), color=[colour(name, known) for name in whose])
    panel.bar_label(drawn, [form.format(value) for value in values.values()], padding=3, color=INK)
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    if log:
        panel.set_xscale("log")
    panel.margins(x=0.16)
    plain(panel.xaxis)


def stacked(panel: Axes, names: Sequence[str], user: Sequence[float], system: Sequence[float],
            whole: Sequence[float]) -> None:
    """User and system time, on one another, for each; `whole` is what is written beside: medians do not add up."""
    panel.barh(range(len(names)), user, color=OURS, label="user")
    drawn = panel.barh(range(len(names)), system, left=user, color=OTHERS[1], label="system")
    panel.bar_label(drawn, [f"{each:,.1f}" for each in whole], padding=3, color=INK)
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.margins(x=0.12)


def lines(panel: Axes, x: Sequence[float], series: Mapping[str, Sequence[float]], *, log_x: bool = True) -> None:
    """A line for each, with marks of its own."""
    for (name, values), mark in zip(series.items(), "os^Dvx*", strict=False):
        panel.plot(x, values, marker=mark, markersize=4, linewidth=1.6, label=name, color=colour(name, list(series)))
    if log_x:
        panel.set_xscale("log")
    panel.set_xticks(x)
    panel.set_ylim(bottom=0)
    plain(panel.xaxis)
    plain(panel.yaxis)


def svg(made: Figure, title: str) -> str:
    """The picture as text, for light and dark pages; `title` is what a screen reader says."""
    out = StringIO()
    made.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    text = out.getvalue()
    for stand_in, name in VARIABLES.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r"<\?xml.*?\?>\n|<!DOCTYPE.*?>\n", "", text, flags=re.S)
    head = f' role="img" aria-label={quoteattr(title)}>\n<style>{STYLE}</style>'
    return re.sub(r"(<svg [^>]*)>", lambda found: found[1] + head, text, count=1)
