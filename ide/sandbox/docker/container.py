"""How a project's container is made: what it may, what it sees, and how one that is made otherwise is told from it."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotpath.ide.config import SandboxConfig
from hotpath.ide.sandbox import Spec
from hotpath.ide.sandbox.environment import PATH
from hotpath.ide.sandbox.environment import environment as in_sandbox

LABEL = "hotpath.ide"           # its value is the data folder: what carries it is ours, and nothing else
PROJECT = "hotpath.ide.project"
MADE = "hotpath.ide.made"       # the hash of all that it was made with
ONCE = "hotpath.ide.once"       # made for one program, by the server that it names: never adopted

WORKSPACE = "/workspace"
NOFILE_HARD = 1_048_576
NOBODY = "65534:65534"
# Every sleep knows numbers; not every one knows `infinity`.
FOR_EVER, ONE_HOUR = "2147483647", "3600"


@dataclass(frozen=True, slots=True)
class Image:
    """One that the engine has."""

    id: str
    path: str                   # its PATH
    volumes: tuple[str, ...]    # folders that the engine would put on the machine's disk

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Image:
        """From what the engine says of it."""
        config = attributes.get("Config") or {}
        environment = dict(word.partition("=")[::2] for word in config.get("Env") or ())
        volumes = sorted(path for path in config.get("Volumes") or () if path != WORKSPACE)
        return cls(attributes["Id"], environment.get("PATH") or ":".join(PATH), tuple(volumes))


def owner(data: Path) -> str:
    """What labels the containers of this data folder. They mount it by its path, so the path it is that counts."""
    return hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:16]


def name_of(id: str) -> str:
    """What the project's container is called."""
    return f"hotpath-ide-{id}"


def settings(
    spec: Spec, config: SandboxConfig, image: Image, ours: str, files: Mapping[str, Path], *, once: str = ""
) -> dict[str, Any]:
    """What the engine's library takes to create it. `files`: by their path in it, those of ours that it sees; `once`:
    the server, of one for a single program."""
    made: dict[str, Any] = {
        "image": image.id,
        # Whatever the image would run: here it only has to be there. What ends is reaped by the engine's own init. Both
        # are nobody's, so that no program of the project can end them.
        "entrypoint": ["sleep"], "command": [ONE_HOUR if once else FOR_EVER], "init": True, "user": NOBODY,
        "healthcheck": {"test": ["NONE"]},
        "hostname": spec.template.name, "working_dir": WORKSPACE,
        # Nothing lives in it but the project's files.
        "read_only": True,
        "mounts": [_mount(spec.files, WORKSPACE, read_only=False),
                   *(_mount(source, target, read_only=True) for target, source in files.items())],
        "tmpfs": dict.fromkeys(("/tmp", *image.volumes), f"rw,exec,nosuid,nodev,mode=1777,size={config.tmp}"),
        # Nobody in it becomes more than it is.
        "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "ipc_mode": "private",
        "network_mode": "none" if (config.install_network if once else config.network) == "none" else "bridge",
        # `localhost` may be ::1 to a program. The engine turns that off in a network of its own.
        "sysctls": {"net.ipv6.conf.lo.disable_ipv6": "0"} if os.path.exists("/proc/sys/net/ipv6/conf/lo") else {},
        # No swap beside its memory.
        "mem_limit": config.memory, "memswap_limit": config.memory, "pids_limit": config.pids,
        # More than there are is an error to the engine.
        "nano_cpus": int(min(config.cpus, os.cpu_count() or 1) * 1e9),
        "ulimits": [{"Name": name, "Soft": limit, "Hard": limit} for name, limit in (
            ("nofile", min(config.nofile, NOFILE_HARD)), ("fsize", config.file_size), ("core", 0))],
        # Its output goes to nobody, and what it is for is not to come back by itself.
        "log_config": {"Type": "none", "Config": {}}, "restart_policy": {"Name": "no"},
    }
    return made | {"labels": {LABEL: ours, PROJECT: spec.id, MADE: fingerprint(made), **({ONCE: once} if once else {})}}


def _mount(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only,
            "BindOptions": {"Propagation": "rprivate"}}


def fingerprint(made: Mapping[str, Any]) -> str:
    """A hash of the settings."""
    return hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()[:16]


def environment(spec: Spec, image: Image, env: Mapping[str, str]) -> list[str]:
    """What a program in it sees; nothing of the server's own."""
    words = in_sandbox(spec.template, WORKSPACE, env)
    if "PATH" not in env and "PATH" not in spec.template.env:
        # What an image brings may stand anywhere in it.
        words["PATH"] = ":".join([*(f"{WORKSPACE}/{folder}" for folder in spec.template.path), image.path])
    return [f"{name}={value}" for name, value in words.items()]


def beginning(argv: Sequence[str], cols: int, rows: int) -> list[str]:
    """A command that says which process it is, as `_MARK PID _MARK`, and becomes `argv` on a terminal of that size."""
    return ["sh", "-c", _BEGIN, "sh", str(rows), str(cols), *argv]


MARK = b"\x1e"
# The engine can set the size only once the program runs, which may ask for it sooner.
_BEGIN = r"""stty rows "$1" cols "$2" 2> /dev/null; shift 2; printf '\036%s\036' $$; exec "$@" """
