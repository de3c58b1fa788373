"""The configuration of the IDE: where it listens, what a sandbox may, which templates there are."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from hotpath.core.config import ONE_OR_MANY, Address, Duration, Problem, Section, Size
from hotpath.core.serve import ServeConfig
from hotpath.core.serve.config import Limits

from .templates import BUILT_IN, NAME, Template, merged

# A field's value holds no more than this, and blanks around it are lost. (\Z: a newline at the end is none, either.)
TOKEN = r"^[!-~]*\Z"
ORIGIN = r"^https?://[^/?#@\s]+\Z"
BASE_PATH = r"^/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?)?\Z"
PREVIEW_HOST = r"^\{key\}(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\Z"
BUCKET = r"^[A-Za-z0-9.\-_]{0,255}\Z"
PREFIX = r"^[A-Za-z0-9!_.*'()/-]{1,200}\Z"
USER = r"^(?:auto|[0-9]{1,10}:[0-9]{1,10})\Z"

MIB = 1024**2
NO_PATH = "is no path in the project; allowed: relative, without . and .."


class AuthConfig(Section, frozen=True):
    """Who may use it."""

    mode: Literal["token", "none"] = "token"
    token: Annotated[str, msgspec.Meta(pattern=TOKEN, max_length=512)] = ""     # empty: DATA/token, made once
    origins: tuple[Annotated[str, msgspec.Meta(pattern=ORIGIN)], ...] = ()      # of fronts: allowed as Host and Origin


class PreviewConfig(Section, frozen=True):
    """Where programs of a project that listen are seen: each on an origin of its own."""

    listen: Address = Address("127.0.0.1", 8087)
    host: Annotated[str, msgspec.Meta(pattern=PREVIEW_HOST)] = "{key}.localhost"

    def check(self) -> Iterator[Problem]:
        """A browser must reach it."""
        if self.listen.is_unix:
            yield Problem(("listen",), "a browser cannot open a unix socket; allowed: HOST:PORT or [V6]:PORT")


class SandboxConfig(Section, frozen=True):
    """What holds a project's programs, and how much they may use."""

    kind: Literal["auto", "docker", "bubblewrap", "process"] = "auto"
    user: Annotated[str, msgspec.Meta(pattern=USER)] = "auto"       # UID:GID
    network: Literal["none", "open"] = "none"
    install_network: Literal["none", "open"] = "open"               # of set-up and Packages only
    memory: Annotated[Size, msgspec.Meta(ge=16 * MIB)] = 512 * MIB
    cpus: Annotated[float, msgspec.Meta(ge=0.05, le=1024)] = 1.0
    pids: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 256
    nofile: Annotated[int, msgspec.Meta(ge=64, le=1_000_000)] = 4096
    file_size: Annotated[Size, msgspec.Meta(ge=MIB)] = 256 * MIB
    tmp: Annotated[Size, msgspec.Meta(ge=MIB)] = 64 * MIB
    disk: Annotated[Size, msgspec.Meta(ge=MIB)] = 1024 * MIB
    files: Annotated[int, msgspec.Meta(ge=10)] = 100_000
    start_timeout: Duration = 30.0
    docker_host: str = ""
    allow_unsandboxed: bool = False

    def check(self) -> Iterator[Problem]:
        """Nothing starts in no time, and nothing of a project's runs as root."""
        if self.start_timeout == 0:
            yield Problem(("start_timeout",), "0 is not allowed; allowed: from 1ms")
        if self.user != "auto" and 0 in self.ids:
            yield Problem(("user",), f"{self.user} is root; allowed: auto, or UID:GID above 0")

    @property
    def ids(self) -> tuple[int, int]:
        """Uid and gid that programs run as, and that own a project's files."""
        if self.user != "auto":
            uid, _, gid = self.user.partition(":")
            return int(uid), int(gid)
        return (os.geteuid(), os.getegid()) if os.geteuid() else (1000, 1000)


class TerminalConfig(Section, frozen=True):
    """Terminals of one project."""

    shell: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("bash", "-i")
    ring: Annotated[Size, msgspec.Meta(ge=4096, le=1024 * MIB)] = MIB      # output that is kept for whoever comes back
    window: Annotated[Size, msgspec.Meta(ge=4096, le=1024 * MIB)] = 256 * 1024     # sent and not yet shown
    max: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8


class IdleConfig(Section, frozen=True):
    """When a project that nobody uses is stopped."""

    stop_after: Duration = 1800.0       # 0: never
    warn: Duration = 120.0              # so long before, its pages say so


class IdeLimits(Limits, frozen=True):
    """What one request, and one project, may ask for."""

    line: Annotated[Size, msgspec.Meta(ge=64, le=65536)] = 16 * 1024        # a path may be 4095 bytes, each of them %XX
    projects: Annotated[int, msgspec.Meta(ge=1)] = 100
    file: Annotated[Size, msgspec.Meta(ge=1)] = 16 * MIB
    upload: Annotated[Size, msgspec.Meta(ge=1)] = 64 * MIB
    unzip: Annotated[Size, msgspec.Meta(ge=1)] = 256 * MIB
    unzip_files: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    tree: Annotated[int, msgspec.Meta(ge=1)] = 5000
    search: Duration = 5.0
    watches: Annotated[int, msgspec.Meta(ge=1)] = 8192


class HistoryConfig(Section, frozen=True):
    """Earlier contents of files."""

    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 20
    file: Size = MIB                    # larger ones are not kept


class BackupConfig(Section, frozen=True):
    """Where projects are copied to; without a bucket, nowhere."""

    bucket: Annotated[str, msgspec.Meta(pattern=BUCKET)] = ""
    prefix: Annotated[str, msgspec.Meta(pattern=PREFIX)] = "hotpath-ide"
    endpoint: str = ""
    region: str = ""
    every: Duration = 60.0
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 30

    def check(self) -> Iterator[Problem]:
        """The endpoint is a URL."""
        if self.endpoint and (urlsplit(self.endpoint).scheme not in ("http", "https")
                              or not urlsplit(self.endpoint).hostname):
            yield Problem(("endpoint",), f"{self.endpoint!r} is no URL; allowed: http://HOST:PORT or https://HOST")
        if self.every == 0:
            yield Problem(("every",), "0 is not allowed; allowed: from 1ms")


class TemplateConfig(Section, frozen=True):
    """A template, or what is other than in the built-in one of that name."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    image: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    files: Mapping[str, str] | None = None
    setup: str | None = None
    run: str | None = None
    install: str | None = None
    env: Mapping[str, str] | None = None
    path: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    needs: tuple[str, ...] | None = None

    def check(self) -> Iterator[Problem]:
        """Paths stay in the project, and names are names."""
        for path in self.files or ():
            if not is_relative(path):
                yield Problem(("files", path), f"{path!r} {NO_PATH}")
        for i, path in enumerate(self.path or ()):
            if not is_relative(path):
                yield Problem(("path", i), f"{path!r} {NO_PATH}")
        for i, name in enumerate(self.ignore or ()):
            if "/" in name or not is_relative(name):
                yield Problem(("ignore", i), f"{name!r} is no folder's name; allowed: a name without /")
        for name in self.env or ():
            if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) is None:
                yield Problem(("env", name), f"{name!r} is no variable's name; allowed: letters, digits and _")
        if self.install and "{packages}" not in self.install:
            yield Problem(("install",), "{packages} is missing; allowed: a command with {packages} in it")


class IdeConfig(ServeConfig, frozen=True):
    """One IDE: its projects, and who may use them."""

    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8086),)
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = 1
    base_path: Annotated[str, msgspec.Meta(pattern=BASE_PATH)] = "/"
    data: Annotated[str, msgspec.Meta(min_length=1)] = "./ide-data"
    auth: AuthConfig = msgspec.field(default_factory=AuthConfig)
    preview: PreviewConfig = msgspec.field(default_factory=PreviewConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=SandboxConfig)
    terminal: TerminalConfig = msgspec.field(default_factory=TerminalConfig)
    idle: IdleConfig = msgspec.field(default_factory=IdleConfig)
    limits: IdeLimits = msgspec.field(default_factory=IdeLimits)
    history: HistoryConfig = msgspec.field(default_factory=HistoryConfig)
    trash_days: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 7
    backup: BackupConfig = msgspec.field(default_factory=BackupConfig)
    templates: Mapping[str, TemplateConfig] = msgspec.field(default_factory=dict)

    def check(self) -> Iterator[Problem]:
        """What the types cannot say."""
        if self.workers != 1:
            yield Problem(("workers",), f"{self.workers} is not allowed: terminals belong to one process; allowed: 1")
        for name, changes in self.templates.items():
            if re.fullmatch(NAME, name) is None:
                yield Problem(("templates", name), f"{name!r} is no name; allowed: a small letter, then those, digits, "
                                                   "_ and -")
            elif name not in BUILT_IN and changes.image is None:
                yield Problem(("templates", name), "image is missing; allowed: the name of a container image")

    @property
    def folder(self) -> Path:
        """The data directory; see `located`."""
        return Path(self.data).absolute()

    @property
    def base(self) -> str:
        """What stands before each of our paths: empty, or /NAME without a slash at its end."""
        return self.base_path.rstrip("/")

    @property
    def all_templates(self) -> dict[str, Template]:
        """The built-in ones with the file's over them, by name."""
        changes = {name: {key: value for key, value in msgspec.structs.asdict(one).items() if value is not None}
                   for name, one in self.templates.items()}
        return merged(changes)

    @property
    def exposed(self) -> int | None:
        """Which of `listen` others can reach although anybody is let in."""
        return self.first_open if self.auth.mode == "none" else None

    @property
    def first_open(self) -> int | None:
        """Which of `listen` others than this machine can reach; None: none."""
        return next((i for i, address in enumerate(self.listen) if not address.is_loopback), None)


def located(config: IdeConfig, file: str | None) -> IdeConfig:
    """The configuration with `data` as an absolute path: it is relative to the file that says so."""
    beside = Path(file).absolute().parent if file is not None else Path.cwd()
    return msgspec.structs.replace(config, data=str(beside / config.data))


def is_relative(path: str) -> bool:
    """Whether it names something within a folder, in its only spelling."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
