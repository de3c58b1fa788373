"""What a program in a sandbox finds in its environment: nothing of the server's."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from hotpath.ide.templates import Template

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
USER = "user"
WAY_OUT = frozenset((
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",
    "NPM_CONFIG_REGISTRY"))


def environment(template: Template, home: str, more: Mapping[str, str]) -> dict[str, str]:
    """Of a program of a project of this template, whose folder is seen as `home`."""
    return {
        "HOME": home, "USER": USER, "LOGNAME": USER, "SHELL": "/bin/bash", "TERM": "xterm-256color",
        "COLORTERM": "truecolor", "LANG": "C.UTF-8",
        "PATH": ":".join([*(f"{home}/{folder}" for folder in template.path), *PATH]), **template.env, **more}


def for_network() -> dict[str, str]:
    """The server's own way out, for a one-shot sandbox with a network: proxies and where packages come from."""
    return {name: value for name, value in os.environ.items() if name.upper() in WAY_OUT}


def encoded(env: Mapping[str, str]) -> list[bytes]:
    """As exec takes it."""
    return [os.fsencode(f"{name}={value}") for name, value in env.items()]


def candidates(program: str, env: Mapping[str, str]) -> list[bytes]:
    """The files that `program` may be, in the order to try them."""
    if "/" in program:
        return [os.fsencode(program)]
    return [os.fsencode(f"{folder}/{program}") for folder in env["PATH"].split(":") if folder.startswith("/")]


def absent(needs: Sequence[str]) -> list[str]:
    """Those commands that the machine does not have where a sandbox looks for them."""
    return [name for name in needs if not any(os.access(f"{folder}/{name}", os.X_OK) for folder in PATH)]


# The package of Debian and its relatives that brings a command, where it is called otherwise.
PACKAGES = {"node": "nodejs", "pip": "python3-pip"}


def missing(needs: Sequence[str]) -> str | None:
    """What would help, where some of these commands are not there."""
    names = absent(needs)
    if not names:
        return None
    packages = " ".join(dict.fromkeys(PACKAGES.get(name, name) for name in names))
    return f"{', '.join(names)} not found in {':'.join(PATH[1:4])}; on Debian: apt-get install {packages}"
