"""Plots of what was measured: `python -P bench plots` draws RESULTS.md's and PROFILE.md's tables into docs/study."""
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

from . import results
from .drawing import LOOK, svg
from .machine import ROOT
from .pictures import PICTURES

FOLDER = ROOT / "docs" / "study"


def drawn(found: str, profiled: str) -> dict[str, str]:
    """Each plot's file name and SVG, from the texts of RESULTS.md and PROFILE.md."""
    with matplotlib.rc_context(LOOK):
        return {f"{name}.svg": svg(picture.draw(found, profiled), picture.title) for name, picture in PICTURES.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -P bench plots`."""
    parser.add_argument("--out", type=Path, default=FOLDER, help="where they go (docs/study)")


def run(options: argparse.Namespace) -> None:
    """Draw all."""
    options.out.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn(results.RESULTS.read_text(), results.PROFILE.read_text()).items():
        (options.out / name).write_text(picture)
        print(options.out / name)
