"""The configuration of the server: where it listens, which database it has."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from hotpath.core.config import ONE_OR_MANY, Address, Problem
from hotpath.core.serve import ServeConfig

# A field's value holds no more than this, and blanks around it are lost.
TOKEN = r"^[!-~]+\Z"
# Where the token comes from when the file has none.
TOKEN_VARIABLE = "HOTPATH_LOCKING_TOKEN"
FILE = "locking.db"


class LockingConfig(ServeConfig, frozen=True):
    """Of `hotpath-locking serve`."""

    # where it listens: one address, or a list
    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 8090),)
    data: Annotated[str, msgspec.Meta(min_length=1)] = "./locking-data"  # folder of the SQLite file
    url: str = ""                                                   # of a database; empty: a SQLite file in `data`
    # bearer token, needed off loopback; null: what HOTPATH_LOCKING_TOKEN says
    token: Annotated[str, msgspec.Meta(pattern=TOKEN)] | None = None
    pool: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8    # connections, and threads, of a worker

    def check(self) -> Iterator[Problem]:
        """The variable's token, too, is one that a client can send."""
        if self.secret is not None and re.match(TOKEN, self.secret) is None:
            yield Problem(("token",), "not allowed; allowed: printable ASCII without blanks")

    @property
    def database(self) -> str:
        """Its URL."""
        return self.url or f"sqlite:///{os.path.join(self.data, FILE)}"

    @property
    def secret(self) -> str | None:
        """What every request must carry as Bearer; None: nothing."""
        return self.token or os.environ.get(TOKEN_VARIABLE) or None

    @property
    def exposed(self) -> int | None:
        """Which of `listen` others can reach although no token is asked for."""
        open_ = (i for i, address in enumerate(self.listen) if not address.is_loopback)
        return next(open_, None) if self.secret is None else None
