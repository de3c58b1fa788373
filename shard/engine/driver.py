"""The two drivers of MySQL, each with the same few calls: send a statement, have all it answers.

The one in C costs half as much, and its lowest calls a good deal less than its cursors. On Debian 12 it can be loaded
only before Python's ssl is: it brings its own OpenSSL, and says no to an older one in the process. So whoever wants it
imports this module, or `hotpath.shard`, first.
"""
from __future__ import annotations

import ctypes
import logging
import math
import os
import select
import socket
import sys
from contextlib import suppress
from functools import cache
from typing import Any, Final, Protocol, cast

try:
    import _mysql_connector  # type: ignore[import-not-found]     # only its compiled form is there
except ImportError:
    _mysql_connector = None

import mysql.connector
from mysql.connector.constants import ClientFlag
from mysql.connector.errors import Error, ReadTimeoutError, WriteTimeoutError

from hotpath.shard.config import PoolConfig
from hotpath.shard.endpoint import Endpoint

from . import Value
from .forks import leak

log = logging.getLogger(__name__)

HAVE_CEXT: Final[bool] = bool(_mysql_connector) and mysql.connector.HAVE_CEXT
ERRORS: Final[tuple[type[Exception], ...]] = (
    (Error, _mysql_connector.MySQLInterfaceError) if HAVE_CEXT else (Error,))
IN_TRANSACTION: Final = 1       # SERVER_STATUS_IN_TRANS
# What a server answers to a password over a connection that it does not find safe enough for one.
WANTS_TLS: Final = {-1, 2059, 2061}
SILENT: Final = 2013            # what both drivers' timeouts are to us, as when the connection is lost

Rows = list[tuple[Value, ...]]


@cache
def say_which() -> None:
    """Log, once, which of the two this process has."""
    log.info("mysql driver=%s version=%s", "C" if HAVE_CEXT else "Python", mysql.connector.__version__)


class Link(Protocol):
    """A connection to a server. All but `close` and `forget` raise ERRORS."""

    fd: int         # of its socket; -1: not known

    def rows(self, sql: bytes) -> Rows:
        """Send it; all rows."""
        ...

    def run(self, sql: bytes) -> int:
        """Send it; how many rows it matched."""
        ...

    def clean(self) -> bool:
        """Whether no transaction is open."""
        ...

    def ping(self) -> bool:
        """Whether the server answers."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...

    def forget(self) -> None:
        """Close the file of a socket that is also the parent's, and nothing else."""
        ...


def connect(endpoint: Endpoint, pool: PoolConfig, *, pure: bool) -> Link:
    """A link to an endpoint, in the driver's own settings. Raises ERRORS."""
    options: dict[str, Any] = {
        "user": endpoint.user, "password": endpoint.password, "database": endpoint.database, "use_pure": pure,
        "charset": "utf8mb4", "collation": "utf8mb4_general_ci", "client_flags": [ClientFlag.FOUND_ROWS],
        # Whole seconds are what the C library counts in. The server stops a statement earlier; this is for one that
        # does not answer at all.
        "connection_timeout": math.ceil(pool.connect), "read_timeout": math.ceil(pool.statement),
        "write_timeout": math.ceil(pool.statement), "allow_local_infile": False,
    }
    if endpoint.socket:
        options["unix_socket"] = endpoint.socket
        near = True
    else:
        options["host"], options["port"] = endpoint.host, endpoint.port
        near = endpoint.host in ("localhost", "::1") or endpoint.host.startswith("127.")
    if near:
        # Nobody listens in on one's own machine, and TLS costs more than the statement.
        try:
            return _opened(options | {"ssl_disabled": True}, endpoint)
        except Error as error:
            if endpoint.socket or error.errno not in WANTS_TLS:
                raise
    return _opened(options, endpoint)


def _opened(options: dict[str, Any], endpoint: Endpoint) -> Link:
    connection = mysql.connector.connect(**options)
    return _PureLink(connection) if options["use_pure"] else _CLink(connection, endpoint)


class _CLink:
    """The driver in C. Its lowest object is used directly: no cursor, no description of columns."""

    def __init__(self, connection: Any, endpoint: Endpoint) -> None:    # noqa: ANN401     # the driver has no types
        self._handle = connection._cmysql
        self._query = self._handle.query
        self._fetch = self._handle.fetch_row
        self.fd = _socket_of(self._handle, endpoint)

    def rows(self, sql: bytes) -> Rows:
        """Buffered: the whole answer is read in C without the lock of the interpreter."""
        self._query(sql, buffered=True)
        rows = list(iter(self._fetch, None))
        self._handle.free_result()
        return rows

    def run(self, sql: bytes) -> int:
        self._query(sql, buffered=True)
        if self._handle.have_result_set:
            self._handle.free_result()
        return cast(int, self._handle.affected_rows())

    def clean(self) -> bool:
        return not self._handle.st_server_status() & IN_TRANSACTION

    def ping(self) -> bool:
        return bool(self._handle.ping())

    def close(self) -> None:
        with suppress(*ERRORS):
            self._handle.close()

    def forget(self) -> None:
        # Its destructor would send a goodbye: let it never run.
        leak(self._handle)
        if self.fd >= 0:
            os.close(self.fd)


class _PureLink:
    """The driver in Python."""

    def __init__(self, connection: Any) -> None:    # noqa: ANN401
        self._connection = connection
        self.fd = connection._socket.sock.fileno()

    def rows(self, sql: bytes) -> Rows:
        try:
            if "columns" not in self._connection.cmd_query(sql):
                return []
            return cast(Rows, self._connection.get_rows()[0])
        except (ReadTimeoutError, WriteTimeoutError) as error:
            raise Error("no answer in time", errno=SILENT) from error

    def run(self, sql: bytes) -> int:
        try:
            answer = self._connection.cmd_query(sql)
            if "columns" in answer:
                self._connection.get_rows()
                return 0
            return cast(int, answer["affected_rows"])
        except (ReadTimeoutError, WriteTimeoutError) as error:
            raise Error("no answer in time", errno=SILENT) from error

    def clean(self) -> bool:
        return not self._connection.unread_result and not self._connection.in_transaction

    def ping(self) -> bool:
        self._connection.cmd_ping()
        return True

    def close(self) -> None:
        with suppress(*ERRORS, OSError):
            self._connection.close()

    def forget(self) -> None:
        # Its destructor would shut the socket down, the parent's too.
        os.close(self._connection._socket.sock.detach())


def _socket_of(handle: object, endpoint: Endpoint) -> int:
    """The file descriptor of a connection of the C driver, which has no call for it; -1: not found.

    Where it stands is part of the library's ABI: a MYSQL begins with its NET, whose sixth word is the descriptor.
    Believed only if that is a socket which leads to where the endpoint is.
    """
    offset = object.__basicsize__ + 5 * ctypes.sizeof(ctypes.c_void_p)
    if sys.implementation.name != "cpython" or type(handle).__basicsize__ < offset + ctypes.sizeof(ctypes.c_int):
        return -1
    fd = ctypes.c_int.from_address(id(handle) + offset).value
    try:
        with socket.socket(fileno=os.dup(fd)) as same:
            peer = same.getpeername()
            leads_there = same.family == socket.AF_UNIX if endpoint.socket else peer[1] == endpoint.port
    except (OSError, ValueError, IndexError):
        return -1
    return fd if leads_there else -1


class Watched:
    """A socket on which nothing should arrive now."""

    def __init__(self, fd: int) -> None:
        self._poll = None
        if fd >= 0:
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN | select.POLLRDHUP)

    def silent(self) -> bool:
        """False if its peer hung up, or said something. No round trip."""
        return self._poll is None or not self._poll.poll(0)
