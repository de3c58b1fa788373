"""The command `hotpath-locking serve`: a database made ready, then a master and its workers."""
from __future__ import annotations

import argparse

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from hotpath.core.errors import ConfigError
from hotpath.core.serve import Router, ServeConfig
from hotpath.core.serve.service import serve

from .classify import first_line
from .config import LockingConfig
from .engine import engine
from .errors import LockingError, Unusable
from .web.counts import Counts
from .web.database import prepare
from .web.service import Service


def run(given: argparse.Namespace) -> int:
    """`serve`, its flags parsed: `config listen workers check data url`; its exit status: 0, or 2 for a mistake."""
    # Before all workers, so that those of a reload go on where the others were.
    counts = Counts()
    return serve(lambda config: app_of(config, counts, touch=not given.check), given, model=LockingConfig)


def app_of(config: ServeConfig, counts: Counts, *, touch: bool) -> Router:
    """The application of this configuration. `touch`: its database is made ready. Raises ConfigError."""
    assert isinstance(config, LockingConfig)
    if config.exposed is not None:
        raise ConfigError("", 0, "listen", f"{config.listen[config.exposed]} can be reached by others, and no token is "
                                           "asked for; allowed: a loopback address, or a token")
    key = "url" if config.url else "data"
    try:
        check(config.database)
    except LockingError as error:
        raise ConfigError("", 0, key, str(error)) from None
    try:
        # What `user` makes is its own; so its workers do it.
        if touch and config.user is None:
            # Here, so that a mistake is told at once, and not by every worker. No connection is left to the fork.
            prepare(config)
    except OSError as error:
        raise ConfigError("", 0, "data", f"{config.data!r} cannot be made: {error.strerror}") from None
    except LockingError as error:
        raise ConfigError("", 0, key, f"{shown(config.database)}: {error}") from None
    except SQLAlchemyError as error:
        raise ConfigError("", 0, key, f"{shown(config.database)} cannot be used: {first_line(error)}") from None
    return Service(config, counts).app()


def check(url: str) -> None:
    """Whether it can be a database of ours; nothing is connected. Raises Unusable."""
    engine(url).dispose()
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise Unusable("each worker would have a database in memory of its own; allowed: sqlite:///FILE")


def shown(url: str) -> str:
    """The URL without its password."""
    return make_url(url).render_as_string(hide_password=True)
