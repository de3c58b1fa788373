"""HAProxy as the balancer of TCP connections that stands before machines."""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import free_port, running, wait_for_port

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
CONFIG = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch
frontend door
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    {check}
    default-server check inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
    {servers}
"""


@contextmanager
def balanced(folder: Path, *servers: str, check: str = "") -> Iterator[int]:
    """The port of one before `servers`, each as HAProxy spells it behind its name, while the block runs."""
    program = shutil.which("haproxy", path=PATH)
    if program is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    port = free_port()
    file = folder / "haproxy.cfg"
    lines = "\n    ".join(f"server s{n} {server}" for n, server in enumerate(servers))
    file.write_text(CONFIG.format(port=port, servers=lines, check=check))
    with running([program, "-db", "-f", str(file)]):
        wait_for_port(port)
        yield port
