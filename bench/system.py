"""One system under its usual load: CPU and system calls for each unit of work, and where the time goes."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import flame, interpreter, machine, profile, results, syscalls
from .disk import disk_folder
from .harness import Sample
from .machine import ROOT
from .results import duration
from .stage import scratch_folder
from .systems import SYSTEMS, Kind, Places
from .work import Work

TITLE = "Where the time goes"
COSTS = ("work", "unit", "CPU each", "user", "system", "units/s")
NOTE = """CPU is user+sys of the processes that do the work, per unit, with nobody watching. Then the same load again
under `perf stat` (system calls; those below 0.005 per unit are left out), `perf record` (999 Hz) and, where much is
Python, `py-spy`. perf sees Python's functions only as `_PyEval_EvalFrameDefault`, the loop that runs them; py-spy names
them, by samples in which a thread held the interpreter's lock, and counts what a compiled module does for the function
that called it. A system that is a library works in the process of the benchmark, so that the load's own loop is part
of it.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One kind of work, looked at."""

    kind: Kind
    unit: str
    cost: Sample
    calls: dict[str, float]
    hot: list[profile.Hot]
    pictures: dict[str, str]                    # file name -> SVG
    functions: list[tuple[str, ...]]            # of Python; empty where nobody looked


def looked_at(system: str, kind: Kind, work: Work, seconds: float, top: int, scratch: Path) -> Seen:
    """Load it once for every question."""
    work.load(min(1.0, seconds))                # warm, and all of its processes there
    cost = work.cost(seconds)
    calls = syscalls.counted(work, seconds, scratch / "perf.txt")
    hot = profile.sampled(work, seconds, scratch)
    name = f"flame-{system}-{kind.name}"
    ground = flame.sampled(work, seconds, scratch)
    each = f"{duration(cost.cpu_us / 1e6)} of CPU per {work.unit}"
    title = f"{system}, {kind.name}: {each}, {ground.samples:,} samples"
    pictures = {f"{name}.svg": flame.drawn(ground, title, cost.cpu_us, unit=work.unit)}
    functions: list[tuple[str, ...]] = []
    if kind.python and (found := interpreter.sampled(work, seconds, scratch / f"{name}.raw")):
        functions = interpreter.rows(found, top)
        ground = flame.piled(interpreter.chains(found))
        title = f"{system}, {kind.name}, Python's functions: {each}, {ground.samples:,} samples"
        pictures[f"{name}-python.svg"] = flame.drawn(ground, title, cost.cpu_us, unit=work.unit)
    return Seen(kind, work.unit, cost, calls, hot, pictures, functions)


def cost_rows(seen: Sequence[Seen]) -> list[tuple[str, ...]]:
    """CPU per unit of each kind of work."""
    return [(one.kind.name, one.unit, duration(one.cost.cpu_us / 1e6), duration(one.cost.user_us / 1e6),
             duration((one.cost.cpu_us - one.cost.user_us) / 1e6), f"{one.cost.load.per_s:,.0f}") for one in seen]


def tables(seen: Sequence[Seen], top: int) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """All tables of a system, each with its title."""
    calls = {one.kind.name: one.calls for one in seen}
    found = [("CPU", COSTS, cost_rows(seen)),
             ("System calls per unit", ("system call", *calls), syscalls.rows(calls))]
    for one in seen:
        scale, named = (1, "µs") if one.cost.cpu_us >= 0.1 else (1000, "ns")
        found.append((f"{one.kind.name}: functions", (*profile.COLUMNS[:-1], f"{named}/{one.unit}"),
                      profile.rows(scale * one.cost.cpu_us, one.hot, top)))
        if one.functions:
            found.append((f"{one.kind.name}: Python's functions", interpreter.COLUMNS, one.functions))
    return found


def section(seen: Sequence[Seen], top: int) -> str:
    """The same as Markdown, with the pictures."""
    parts = ["\n".join(f"- `{one.kind.name}`: {one.kind.words}" for one in seen)]
    parts += [f"### {title}\n\n{results.table(columns, rows)}" for title, columns, rows in tables(seen, top)]
    parts += [f"![{one.kind.name}]({name})" for one in seen for name in one.pictures]
    return "\n\n".join([*parts, NOTE])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench system`."""
    parser.add_argument("--system", default="proxy", choices=SYSTEMS, help="which one (%(default)s)")
    parser.add_argument("--only", default="", help="kinds of work with this in their name (all)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds per run (%(default)s)")
    parser.add_argument("--top", type=int, default=8, help="functions to list (%(default)s)")
    parser.add_argument("--folder", help="where data lie: a folder on a disk (default: TMPDIR or /tmp)")
    parser.add_argument("--write", action="store_true",
                        help="put the pictures into bench, and replace the section in bench/PROFILE.md")


def run(options: argparse.Namespace) -> None:
    """Look, show, and write when asked; the pictures are kept anyway."""
    seen = []
    for kind in SYSTEMS[options.system]:
        if options.only in kind.name:
            with (scratch_folder() as scratch, disk_folder(options.folder) as disk,
                  kind.opened(Places(scratch, disk)) as work):
                seen.append(looked_at(options.system, kind, work, options.seconds, options.top, scratch))
    for title, columns, rows in tables(seen, options.top):
        results.show(f"{options.system}: {title}", columns, rows)
    folder = results.HERE if options.write else ROOT / "build" / "profile"
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (item for one in seen for item in one.pictures.items()):
        (folder / name).write_text(picture)
        print((folder / name).relative_to(ROOT))
    if options.write:
        header = machine.header(versions="hotpath of this commit")
        results.write_section(results.PROFILE, f"{TITLE}: {options.system}",
                              f"{header}\n{section(seen, options.top)}")
