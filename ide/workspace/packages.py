"""Names of packages that may be installed: from a registry, and from nowhere else."""
from __future__ import annotations

import re
from collections.abc import Sequence

from hotpath.ide.errors import Invalid

MAX_PACKAGES = 50
MAX_LENGTH = 214            # npm's for a name; no index has longer ones

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_VERSION = r"[A-Za-z0-9](?:[A-Za-z0-9.*+!_-]*[A-Za-z0-9*])?"
_RANGE = rf"(?:===?|~=|!=|<=?|>=?){_VERSION}"
_NAME = re.compile(
    rf"(?:@{_PART}/)?{_PART}(?:\[{_PART}(?:,{_PART})*\])?(?:@[~^]?{_VERSION}|{_RANGE}(?:,{_RANGE})*)?", re.ASCII)
# Both pip and npm take a file of such a name in the folder for what is to be installed.
_ARCHIVE = re.compile(r"\.(?:whl|zip|egg|tar|tgz|tbz|txz|tlz|gz|bz2|xz|lzma)$", re.IGNORECASE)


def checked(names: Sequence[str]) -> list[str]:
    """The names. Raises Invalid: which is none, and why."""
    if not 1 <= len(names) <= MAX_PACKAGES:
        raise Invalid(f"{len(names)} packages; allowed: 1 to {MAX_PACKAGES}")
    for name in names:
        if len(name) > MAX_LENGTH or _NAME.fullmatch(name) is None or _ARCHIVE.search(name):
            raise Invalid(f"{name[:80]!r} is no package; allowed: a registry's name, a version behind == or @ if need "
                          "be", package=name[:MAX_LENGTH])
    return list(names)
