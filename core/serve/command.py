"""A command with commands of its own: what it exits with, and what it says when it was refused."""
from __future__ import annotations

import argparse
import os
import sys

from hotpath.core.errors import ConfigError, HotpathError


def run_command(prog: str, given: argparse.Namespace) -> int:
    """Call `given.run(given)`; the exit status is its answer, 1 when it was refused, 2 for a mistake in file or flags.

    `given` is what the parser of `prog` made, with the chosen command's name in `command`.
    """
    try:
        return int(given.run(given))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except HotpathError as error:
        print(f"{prog} {given.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read us has seen enough. Python would flush into the same pipe once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 1
