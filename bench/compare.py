"""The command line: `python -P bench WHAT [options]`."""
from __future__ import annotations

import argparse
import sys

from . import processes, proxy, rivals, wrk

SUBJECTS = {"proxy": proxy}


def main() -> int:
    """Run one subject, or all with their defaults; 1 when a contender fails or answers wrongly."""
    parser = argparse.ArgumentParser(prog="python -P bench", description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="WHAT")
    for name, module in SUBJECTS.items():
        module.add_arguments(subjects.add_parser(name, help=(module.__doc__ or "").partition("\n")[0]))
    subjects.add_parser("all", help="every one of these, with its defaults")
    options = parser.parse_args()
    for name in SUBJECTS if options.subject == "all" else [options.subject]:
        try:
            SUBJECTS[name].run(parser.parse_args([name]) if options.subject == "all" else options)
        except (processes.StartError, rivals.WrongAnswer, wrk.LoadError) as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            return 1
    return 0
