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

    mode: Literal["token", "none"] = "token"                                # none lets anybody in, and is for loopback
    token: Annotated[str, msgspec.Meta(pattern=TOKEN, max_length=512)] = ""    # empty: DATA/token, made once
    origins: tuple[Annotated[str, msgspec.Meta(pattern=ORIGIN)], ...] = ()  # of fronts: allowed as Host and Origin


class PreviewConfig(Section, frozen=True):
    """Where programs of a project that listen are seen: each on an origin of its own."""

    listen: Address = Address("127.0.0.1", 8087)    # one port for all of them
    # the name of each; {key} is a secret of project and port
    host: Annotated[str, msgspec.Meta(pattern=PREVIEW_HOST)] = "{key}.localhost"

    def check(self) -> Iterator[Problem]:
        """A browser must reach it."""
        if self.listen.is_unix:
            yield Problem(("listen",), "a browser cannot open a unix socket; allowed: HOST:PORT or [V6]:PORT")


class SandboxConfig(Section, frozen=True):
    """What holds a project's programs, and how much they may use."""

    kind: Literal["auto", "docker", "bubblewrap", "process"] = "auto"   # auto: bubblewrap where it works, else process
    # UID:GID that programs run as; auto: our own, or 1000:1000 where we are root
    user: Annotated[str, msgspec.Meta(pattern=USER)] = "auto"
    network: Literal["none", "open"] = "none"           # of a project's programs
    install_network: Literal["none", "open"] = "open"   # the same, of set-up and Packages only
    # bytes of a project together; of each program, where nothing counts them together
    memory: Annotated[Size, msgspec.Meta(ge=16 * MIB)] = 512 * MIB
    # processors; whole ones, where nothing shares them out
    cpus: Annotated[float, msgspec.Meta(ge=0.05, le=1024)] = 1.0
    pids: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 256    # processes and threads of a project
    nofile: Annotated[int, msgspec.Meta(ge=64, le=1_000_000)] = 4096    # open files of one program
    file_size: Annotated[Size, msgspec.Meta(ge=MIB)] = 256 * MIB    # bytes of the largest file that a program can write
    tmp: Annotated[Size, msgspec.Meta(ge=MIB)] = 64 * MIB    # bytes of /tmp
    disk: Annotated[Size, msgspec.Meta(ge=MIB)] = 1024 * MIB    # bytes of a project's files
    files: Annotated[int, msgspec.Meta(ge=10)] = 100_000    # files and folders of a project
    start_timeout: Duration = 30.0      # until its sandbox must stand
    docker_host: str = ""               # address of the Docker engine; empty: as DOCKER_HOST says, or the usual one
    allow_unsandboxed: bool = False     # let kind process be reached from elsewhere

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

    shell: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("bash", "-i")    # the command of a new terminal
    ring: Annotated[Size, msgspec.Meta(ge=4096, le=1024 * MIB)] = MIB   # output that is kept for whoever comes back
    window: Annotated[Size, msgspec.Meta(ge=4096, le=1024 * MIB)] = 256 * 1024    # sent and not yet shown
    max: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8                 # open ones


class IdleConfig(Section, frozen=True):
    """When a project that nobody uses is stopped."""

    stop_after: Duration = 1800.0   # 0: never
    warn: Duration = 120.0          # so long before, its pages say so


class IdeLimits(Limits, frozen=True):
    """What one request, and one project, may ask for."""

    # bytes of the request line: a path may be 4095 bytes, each of them %XX
    line: Annotated[Size, msgspec.Meta(ge=64, le=65536)] = 16 * 1024
    projects: Annotated[int, msgspec.Meta(ge=1)] = 100          # of this server
    file: Annotated[Size, msgspec.Meta(ge=1)] = 16 * MIB        # bytes of a file that is saved or searched
    upload: Annotated[Size, msgspec.Meta(ge=1)] = 64 * MIB      # bytes of an archive to unzip
    unzip: Annotated[Size, msgspec.Meta(ge=1)] = 256 * MIB      # bytes that may come out of it
    unzip_files: Annotated[int, msgspec.Meta(ge=1)] = 10_000    # files and folders that may come out of it
    tree: Annotated[int, msgspec.Meta(ge=1)] = 5000             # entries of one answer
    search: Duration = 5.0                                      # how long one may take
    watches: Annotated[int, msgspec.Meta(ge=1)] = 8192          # folders that are watched, over all projects


class HistoryConfig(Section, frozen=True):
    """Earlier contents of files."""

    keep: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 20  # of each file
    file: Size = MIB                                        # larger ones are not kept


class BackupConfig(Section, frozen=True):
    """Where projects are copied to; without a bucket, nowhere."""

    bucket: Annotated[str, msgspec.Meta(pattern=BUCKET)] = ""               # empty: no backups
    prefix: Annotated[str, msgspec.Meta(pattern=PREFIX)] = "hotpath-ide"    # before each key
    endpoint: str = ""                                                      # URL of the store; empty: Amazon's
    region: str = ""                                                        # of the bucket; empty: as boto3 finds it
    every: Duration = 60.0                                                  # how often a project that changed is copied
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 30                # of each project

    def check(self) -> Iterator[Problem]:
        """The endpoint is a URL."""
        if self.endpoint and (urlsplit(self.endpoint).scheme not in ("http", "https")
                              or not urlsplit(self.endpoint).hostname):
            yield Problem(("endpoint",), f"{self.endpoint!r} is no URL; allowed: http://HOST:PORT or https://HOST")
        if self.every == 0:
            yield Problem(("every",), "0 is not allowed; allowed: from 1ms")


class TemplateConfig(Section, frozen=True):
    """A template, or what is other than in the built-in one of that name."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None    # what the page calls it
    image: Annotated[str, msgspec.Meta(min_length=1)] | None = None    # of its container, with sandbox.kind docker
    files: Mapping[str, str] | None = None  # texts of a new project's files, by path
    setup: str | None = None                # a command, run once, behind the prompt
    run: str | None = None                  # what Run does
    install: str | None = None              # what Packages does; {packages}: the names
    env: Mapping[str, str] | None = None    # variables, by name
    path: tuple[str, ...] | None = None     # folders of the project before PATH
    ignore: tuple[str, ...] | None = None   # names of folders that are not watched, searched, zipped or backed up
    needs: tuple[str, ...] | None = None    # commands that a sandbox without images must find

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

    # where it listens: one address, or a list
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8086),)
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"] = 1   # terminals belong to one process: 1
    # what its paths begin with behind a proxy, as /ide; the cookie's Path too
    base_path: Annotated[str, msgspec.Meta(pattern=BASE_PATH)] = "/"
    # folder of projects, token and sessions; relative to this file
    data: Annotated[str, msgspec.Meta(min_length=1)] = "./ide-data"
    auth: AuthConfig = msgspec.field(default_factory=AuthConfig)
    preview: PreviewConfig = msgspec.field(default_factory=PreviewConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=SandboxConfig)
    terminal: TerminalConfig = msgspec.field(default_factory=TerminalConfig)
    idle: IdleConfig = msgspec.field(default_factory=IdleConfig)
    limits: IdeLimits = msgspec.field(default_factory=IdeLimits)
    history: HistoryConfig = msgspec.field(default_factory=HistoryConfig)
    trash_days: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 7   # days that a deleted project can be had back
    backup: BackupConfig = msgspec.field(default_factory=BackupConfig)
    # by name, over the built-in python, node and web
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
