"""What is opened, started and stopped, and in which order: configuration, sandbox, projects, routes."""
from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from contextlib import suppress
from logging import getLogger

from hotpath.core.config import Address
from hotpath.core.errors import ConfigError, HotpathError, ListenError
from hotpath.core.serve import Router, ServeConfig
from hotpath.core.serve.config import Limits
from hotpath.core.serve.exchange import Server
from hotpath.core.serve.service import serve
from hotpath.core.successor import READY_VARIABLE
from hotpath.core.tasks import offload, sleep, use_threads
from hotpath.ide.sandbox import Sandbox
from hotpath.ide.sandbox.choosing import open_sandbox
from hotpath.ide.workspace.secret import kept
from hotpath.ide.workspace.workspace import Workspace

from .config import IdeConfig, IdeLimits, located
from .web.api import Api

log = getLogger(__name__)

# For files, searches and archives, each of which waits for the disk rather than computes.
THREADS = 16
TOKEN_FILE = "token"
TOKEN_BYTES = 24
# How long a data directory that is in use is waited for: whoever restarts us behind a `kill -9` need not.
PATIENCE_S = 2.0
POLL_S = 0.02
WILDCARDS = ("0.0.0.0", "::")


class DataUnusable(HotpathError):
    """The operator must act: the data directory cannot be read or written, or another server has it."""


class Service:
    """One IDE in this process."""

    def __init__(self, config: IdeConfig, sandbox: Sandbox, *, is_successor: bool = False) -> None:
        """`is_successor`: another process has the data directory and will let go of it."""
        self._config = config
        self._sandbox = sandbox
        # A successor waits as long as its predecessor drains.
        self._until_s = float("inf") if is_successor else time.monotonic() + PATIENCE_S
        self._workspace = Workspace(config, sandbox)
        self._app = Router()
        self._api = Api(self._app, self._workspace, config)

    def app(self) -> Router:
        """Its routes and hooks."""
        app = self._app
        app.at_worker(self._attach)
        app.at_open(self._open)
        app.at_start(self._say)
        app.at_reload(self._reload)
        app.at_stop(self._workspace.close)
        return app

    def _attach(self, server: Server) -> None:
        self._workspace.attach(server.loop)

    def _open(self) -> None:
        use_threads(THREADS)
        try:
            self._take_over()
            self._api.open(self._config.auth.token or offload(self._token))
        except ListenError as error:
            raise HotpathError(f"preview.listen: {error.cause}: {error.address}") from None
        except OSError as error:
            raise DataUnusable(f"{self._config.folder}: {error.strerror or error}") from None
        if self._sandbox.kind == "process":
            log.warning("no sandbox: programs of projects run as this user's own, and only limits hold them; "
                        "install bubblewrap, or configure sandbox.kind: docker")

    def _take_over(self) -> None:
        """Open the projects, once nobody else has them."""
        while True:
            try:
                return self._workspace.open()
            except BlockingIOError:
                if time.monotonic() >= self._until_s:
                    raise DataUnusable(f"{self._config.folder}: another server has this data directory") from None
                sleep(POLL_S)

    def _token(self) -> str:
        return kept(self._config.folder / TOKEN_FILE, secrets.token_urlsafe(TOKEN_BYTES))

    def _say(self) -> None:
        # Whoever read our output may be gone; the service goes on.
        with suppress(OSError):
            for place in places(self._app.bound, self._config):
                fragment = "" if self._api.gate.lets_all_in else f"#token={self._api.gate.token}"
                print(f"{place}{self._config.base}/{fragment}", file=sys.stdout, flush=True)

    def _reload(self, config: ServeConfig) -> None:
        assert isinstance(config, IdeConfig)
        for key in {*IdeConfig.__struct_fields__} - {*ServeConfig.__struct_fields__} - {"data"}:
            if getattr(config, key) != getattr(self._config, key):
                log.warning("not changed: %s needs a restart", key)
        for key in {*IdeLimits.__struct_fields__} - {*Limits.__struct_fields__}:
            if getattr(config.limits, key) != getattr(self._config.limits, key):
                log.warning("not changed: limits.%s needs a restart", key)


def places(bound: tuple[Address, ...], config: IdeConfig) -> list[str]:
    """Where a browser finds us: the first address that we listen on, and each front."""
    own = [f"http://{Address(host='127.0.0.1', port=address.port) if address.host in WILDCARDS else address}"
           for address in bound if not address.is_unix]
    return [*own[:1], *(origin.rstrip("/") for origin in config.auth.origins)]


def app_of(config: ServeConfig, file: str | None, *, is_successor: bool = False) -> Router:
    """The application of this configuration, which stands in `file`. Raises ConfigError."""
    assert isinstance(config, IdeConfig)
    config = located(config, file)
    if config.exposed is not None:
        raise ConfigError("", 0, "listen", f"{config.listen[config.exposed]} can be reached by others, and auth.mode "
                                           "none lets anybody run programs here; allowed: a loopback address, or "
                                           "auth.mode token")
    try:
        sandbox = open_sandbox(config)
    except ValueError as error:
        path, message = error.args
        raise ConfigError("", 0, path, message) from None
    if sandbox.kind == "process" and config.first_open is not None and not config.sandbox.allow_unsandboxed:
        raise ConfigError("", 0, "listen", f"{config.listen[config.first_open]} can be reached by others, and programs "
                                           "would run in no sandbox; allowed: a loopback address, sandbox.kind "
                                           "bubblewrap or docker, or sandbox.allow_unsandboxed: true")
    return Service(config, sandbox, is_successor=is_successor).app()


def run(given: argparse.Namespace) -> int:
    """`serve`; the exit status: 0, 1 when it could not be opened, 2 for a mistake."""
    # Asked before it is taken out of the environment.
    is_successor = READY_VARIABLE in os.environ
    return serve(lambda config: app_of(config, given.config, is_successor=is_successor), given, model=IdeConfig,
                 alone=True)
