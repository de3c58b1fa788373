"""Does a login on a server work, and what does it answer?"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import mysql.connector

from hotpath.shard.endpoint import Endpoint

TIMEOUT_S = 5.0
# Of the driver; the last three when a server ends in the middle of its greeting.
FAILURES = (mysql.connector.Error, OSError, RuntimeError, IndexError, TypeError)


class NoLogin(Exception):
    """It did not work; `errno` is MySQL's."""

    def __init__(self, cause: str, errno: int) -> None:
        super().__init__(cause)
        self.errno = errno


Run = Callable[[str], list[tuple[object, ...]]]


@contextmanager
def session(endpoint: Endpoint, *, database: bool = True, timeout_s: float = TIMEOUT_S) -> Iterator[Run]:
    """Log in; what is called with a statement answers its rows. Raises NoLogin, there too.

    `database`: log in to its database; else to the server alone.
    """
    where: dict[str, object] = ({"unix_socket": endpoint.socket} if endpoint.socket
                                else {"host": endpoint.host, "port": endpoint.port})
    try:
        connection = mysql.connector.connect(
            **where, user=endpoint.user, password=endpoint.password, database=endpoint.database if database else None,
            # A server that calls itself 8 would get a collation that MariaDB does not know.
            charset="utf8mb4", collation="utf8mb4_general_ci", autocommit=True, use_pure=True,
            connection_timeout=max(1, math.ceil(timeout_s)))
    except FAILURES as error:
        raise _no_login(error) from None

    def run(statement: str) -> list[tuple[object, ...]]:
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except FAILURES as error:
            raise _no_login(error) from None

    try:
        yield run
    finally:
        # Nothing is lost with a connection that cannot be closed in order.
        with suppress(*FAILURES):
            connection.close()


def ask(endpoint: Endpoint, statement: str, *, database: bool = True, timeout_s: float = TIMEOUT_S
        ) -> list[tuple[object, ...]]:
    """One statement by a login of its own. Raises NoLogin."""
    with session(endpoint, database=database, timeout_s=timeout_s) as run:
        return run(statement)


def _no_login(error: Exception) -> NoLogin:
    if isinstance(error, mysql.connector.Error):
        return NoLogin(error.msg or str(error), error.errno or 0)
    return NoLogin(f"{type(error).__name__}: {error}", 0)
