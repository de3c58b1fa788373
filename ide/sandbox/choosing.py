"""Which kind of sandbox does this server have? `auto` tries bubblewrap for real, once."""
from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from hotpath.core.errors import ConfigError
from hotpath.core.tasks import run
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.templates import Template

from . import Sandbox, Spec
from .bubblewrap import PROGRAM, Bubblewrap
from .environment import PATH
from .groups import Groups, find
from .process import Processes

log = logging.getLogger(__name__)


def open_sandbox(config: IdeConfig) -> Sandbox:
    """The server's. Blocks a little, before it serves. ConfigError: what is configured cannot be."""
    kind = config.sandbox.kind
    if kind == "docker":
        from hotpath.ide.sandbox.docker import DockerSandbox

        return DockerSandbox(config)
    if os.geteuid() and config.sandbox.ids != (os.geteuid(), os.getegid()):
        raise ConfigError("", 0, "sandbox.user", f"{config.sandbox.user} is not who the server runs as, and only root "
                          f"can be others; allowed: auto, {os.geteuid()}:{os.getegid()}")
    if kind in ("auto", "bubblewrap"):
        why = trouble(config)
        if why is None:
            return Bubblewrap(config, _groups(config, "bubblewrap"))
        if kind == "bubblewrap":
            raise ConfigError("", 0, "sandbox.kind", f"bubblewrap does not work here: {why}; allowed: docker, process")
        log.warning("sandbox=process cause=%r: programs of a project see this machine, its files and its network", why)
    return Processes(config, _groups(config, "process"))


def _groups(config: IdeConfig, kind: str) -> Groups | None:
    groups = find(config.sandbox)
    if isinstance(groups, str):
        log.warning("sandbox=%s limits=rlimits, of each program by itself, cause=%r", kind, groups)
        return None
    log.info("sandbox=%s limits=rlimits and control groups, version %d", kind, groups.version)
    return groups


def trouble(config: IdeConfig) -> str | None:
    """Why bubblewrap cannot be used here; None: a sandbox just like a project's was made, entered and ended."""
    if shutil.which(PROGRAM, path=":".join(PATH)) is None:
        return f"{PROGRAM} is not installed (on Debian: apt-get install bubblewrap)"
    with tempfile.TemporaryDirectory() as folder:
        spec = Spec("try", Path(folder), Template("try", "Try", ""))
        spec.files.mkdir()
        try:
            status = run(_try, Bubblewrap(config, None), spec)
        except SandboxFailed as error:
            return error.detail
    return None if status == 0 else f"a program in it ended with {status}"


def _try(sandbox: Bubblewrap, spec: Spec) -> int:
    running = sandbox.start(spec)
    try:
        session = running.spawn(("sh", "-c", "test ! -w /usr && test ! -e /root"), 80, 24)
        try:
            return session.wait()
        finally:
            os.close(session.fd)        # not sooner: the terminal's end is a signal
    finally:
        running.stop()
