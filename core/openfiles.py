"""How many files, and so sockets, may this process have open?"""
from __future__ import annotations

import resource


def raise_open_files() -> int:
    """Raise our soft limit to the hard one, which needs no rights; answers what is allowed now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
