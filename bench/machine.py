"""On what, with which versions, at which commit was it measured?"""
from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "hotpath of this commit"              # the versions of what has no rival


def first_line(*argv: str) -> str:
    """First line that a command prints on either stream; `absent` when there is no such command."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    except FileNotFoundError:
        return "absent"
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def commit() -> str:
    """The commit of the tree, with `+changes` when it holds more than that; the reports themselves do not count."""
    changed = first_line("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/*.md")
    return first_line("git", "rev-parse", "--short", "HEAD") + ("+changes" if changed else "")


def describe() -> str:
    """Processor, count of CPUs, kernel, Python."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    virtual = "virtual, " if re.search(r"^flags\s*:.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.M) else ""
    return (f"{model[1] if model else platform.machine()}, {virtual}{len(os.sched_getaffinity(0))} CPUs, "
            f"Linux {platform.release()}, Python {platform.python_version()}")


def packages(names: list[str]) -> str:
    """`name version` of each installed package."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def header(*, versions: str) -> str:
    """The lines under a section's title: where the numbers come from, and the command that remakes them."""
    command = " ".join(["python", "-P", "bench", *sys.argv[1:]])
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{when}, commit {commit()}. {describe()}. {versions}.\n\n```\n{command}\n```\n"
