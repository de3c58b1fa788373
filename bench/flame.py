"""Flame graphs: through which calls does a proxy come to where its CPU time goes?"""
from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from . import machine, results, rivals, wrk
from .stage import stage
from .syscalls import PerfError, perf
from .work import Work, proxied

TITLE = "Flame graphs"
NOTE = """Each box is a function, as wide as its share of all samples, on top of the one that called it; open the file
in a browser to read narrow ones by pointing at them. `perf record`, 999 Hz, call chains by unwinding 8 KiB of stack,
all processes of the server, while wrk keeps it busy with 64-byte bodies.
"""
WIDTH, MARGIN, ROW, CHARACTER = 1200.0, 10.0, 17.0, 6.3       # pixels; a character's is that of an 11-pixel monospace
LEAST_WIDTH = 0.4                                           # narrower boxes show nothing
COLOURS = {"kernel": "#f0a35e", "server": "#7fb2e5", "TLS": "#c49be0", "libraries": "#b9c4c9"}
# What lies on the boxes stays dark, as they stay light.
STYLE = ".paper{fill:#fff}.ink{fill:#1f2328}@media(prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}}"
TRUNK = 0.99            # what starts the program and runs the loop is under so many samples, so it tells nothing


@dataclass(slots=True)
class Box:
    """A function as called by the one below, and what it called."""

    name: str
    place: str                                  # "kernel", or the name of a binary or module
    samples: int = 0
    above: dict[tuple[str, str], Box] = field(default_factory=dict)

    def depth(self) -> int:
        """Rows that it and all above it take."""
        return 1 + max((box.depth() for box in self.above.values()), default=0)


def readable(symbol: str) -> str:
    """A function's name as its source has it: neither Cython's prefix nor gcc's suffixes."""
    symbol = re.sub(r"(@@?\w[\w.]*|\.(part|isra|constprop|cold|lto_priv)(\.\d+)?)+$", "", symbol)
    start = re.match(r"__pyx_(f|pw|pf)_(?=\d)", symbol)
    if start is None:
        return symbol
    # __pyx_f_7hotpath_4core_3net_6stream_stream_send; a Python method ends in its number: ..._4loop_4Loop_5run.
    module, rest = "", symbol[start.end():]
    while (part := re.match(r"\d+", rest)) is not None:
        end = part.end() + int(part[0])
        if start[1] != "f" and re.match(r"_\d", rest[end:]) is None:
            return f"{module}.{rest[part.end():]}"
        module, rest = rest[part.end():end], rest[end:].removeprefix("_")
    return f"{module}.{rest}"


def chains(script: str) -> Iterator[list[tuple[str, str]]]:
    """Each sample's functions with their places, outermost first, from the output of `perf script`."""
    for record in script.split("\n\n"):
        found = []
        for line in record.splitlines()[1:]:
            symbol, _, place = line.strip().partition(" ")[2].rpartition(" (")
            place = place.rstrip(")")
            found.append((readable(symbol), "kernel" if place.startswith("[kernel") else place.rpartition("/")[2]))
        if found:
            yield found[::-1]


def piled(samples: Iterable[Sequence[tuple[str, str]]]) -> Box:
    """All samples on one another."""
    ground = Box("all", "")
    for chain in samples:
        box = ground
        box.samples += 1
        for name, place in chain:
            box = box.above.setdefault((name, place), Box(name, place))
            box.samples += 1
    return without_trunk(ground)


def without_trunk(box: Box) -> Box:
    """The lowest box above which calls differ."""
    while (most := max(box.above.values(), key=lambda each: each.samples, default=box)).samples >= TRUNK * box.samples:
        if most is box:
            break
        box = most
    return box


def kind(place: str) -> str:
    """Which colour a place has."""
    if place == "kernel":
        return "kernel"
    if re.match(r"lib(ssl|crypto)|_ssl", place):
        return "TLS"
    if place.endswith(".py"):
        return "server" if place.startswith(("hotpath/", "bench/")) else "libraries"
    return "libraries" if re.match(r"lib|ld-|\[|python", place) else "server"


def drawn(ground: Box, title: str, cpu_us: float, *, unit: str = "request") -> str:
    """The SVG, for light and dark pages; `cpu_us` is what all of it costs per unit."""
    height = (ground.depth() + 3) * ROW + 2 * MARGIN
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" '
             'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">',
             f"<style>{STYLE}</style>",
             f'<rect class="paper" width="{WIDTH:.0f}" height="{height:.0f}"/>',
             f'<text class="ink" x="{MARGIN:.0f}" y="20" font-size="14">{escape(title)}</text>']
    for i, (name, colour) in enumerate(COLOURS.items()):
        x = WIDTH - MARGIN - 100 * (len(COLOURS) - i)
        parts.append(f'<rect x="{x:.0f}" y="10" width="12" height="12" fill="{colour}"/>'
                     f'<text class="ink" x="{x + 17:.0f}" y="20">{name}</text>')

    def draw(box: Box, x: float, row: int) -> None:
        width = box.samples / ground.samples * (WIDTH - 2 * MARGIN)
        if width < LEAST_WIDTH:
            return
        y, share = height - MARGIN - (row + 1) * ROW, box.samples / ground.samples
        told = f"{box.name}{f' in {box.place}' if box.place else ''}: {share:.1%}, {share * cpu_us:.2f} µs per {unit}"
        colour = COLOURS[kind(box.place)] if box.place else "#e4e4e4"
        parts.append(f'<g><title>{escape(told)}</title><rect x="{x:.1f}" y="{y:.0f}" width="{width - 0.2:.1f}" '
                     f'height="{ROW - 1:.0f}" rx="1" fill="{colour}"/>')
        if (fits := int((width - 4) / CHARACTER)) >= 3:
            text = box.name if len(box.name) <= fits else box.name[:fits - 1] + "…"
            parts.append(f'<text x="{x + 2:.1f}" y="{y + 12:.0f}">{escape(text)}</text>')
        parts.append("</g>")
        for above in sorted(box.above.values(), key=lambda each: each.name):
            draw(above, x, row + 1)
            x += above.samples / ground.samples * (WIDTH - 2 * MARGIN)

    draw(ground, MARGIN, 0)
    return "\n".join([*parts, "</svg>\n"])


def sampled(work: Work, seconds: float, folder: Path) -> Box:
    """The call chains that perf finds."""
    data, report = folder / "flame.data", folder / "perf.txt"
    perf(["record", "-F", "999", "--call-graph", "dwarf,8192", "-o", str(data)], work.pids, lambda: work.load(seconds),
         report)
    command = ["perf", "script", "-i", str(data), "--no-inline", "-F", "comm,event,ip,sym,dso"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ground = piled(chains(done.stdout))
    if ground.samples == 0:
        raise PerfError(f"no samples: {report.read_text().strip()[-300:]} {done.stderr.strip()[-300:]}")
    return ground


def path_of(name: str) -> Path:
    """Where that server's graph is kept."""
    return results.HERE / f"flame-{name}.svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench flame`."""
    here = [name for name in ("nginx", "hotpath") if name in rivals.available()]
    parser.add_argument("--rivals", default=",".join(here), help="servers (here: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="seconds per run (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="client connections (%(default)s)")
    parser.add_argument("--write", action="store_true",
                        help="replace bench/flame-SERVER.svg and the section in bench/PROFILE.md")


def run(options: argparse.Namespace) -> None:
    """Sample, say how much of it lies where, and write the files when asked."""
    names = options.rivals.split(",")
    pictures = []
    for name in names:
        with stage([name]) as on:
            work = proxied(on, name, "64", wrk.Load(options.connections))
            cost, ground = work.cost(options.seconds), sampled(work, options.seconds, on.folder)
        title = f"{name}: {cost.cpu_us:.1f} µs of CPU per request, {ground.samples:,} samples"
        print(title)
        pictures.append(f"![{title}]({path_of(name).name})")
        if options.write:
            path_of(name).write_text(drawn(ground, title, cost.cpu_us))
    if options.write:
        body = "\n\n".join([machine.header(versions=rivals.versions(names)), *pictures, NOTE])
        results.write_section(results.PROFILE, TITLE, body)
