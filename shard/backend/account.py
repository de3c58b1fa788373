"""The accounts of a server of ours, and the file that people and programs log in with."""
from __future__ import annotations

import configparser
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from hotpath.core.durable import write_private
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.schema import quoted

from .errors import CannotStart

FILE = "client.cnf"
ROOT = "root"           # of whoever operates it
ROUTER = "hotpath"      # of the routers: all rights on their databases, none beside
HOST = "localhost"
NO_PORT = 3306          # what a DSN says beside a socket


@dataclass(frozen=True, slots=True)
class Account:
    """How to log in to one server. With a `socket`, `host` and `port` mean nothing."""

    root_password: str
    password: str
    database: str
    host: str = HOST
    port: int = NO_PORT
    socket: str = ""

    @classmethod
    def fresh(cls, database: str) -> Self:
        """With passwords that nobody knows yet."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), database)

    @property
    def endpoint(self) -> Endpoint:
        """For the routers."""
        return Endpoint("mysql", host=self.host, port=self.port, socket=self.socket, user=ROUTER,
                        password=self.password, database=self.database)

    @property
    def root(self) -> Endpoint:
        """For what the routers may not do."""
        return replace(self.endpoint, user=ROOT, password=self.root_password)

    def write(self, folder: Path) -> None:
        """Write `client.cnf`: `mariadb --defaults-file=…/client.cnf` logs in as root."""
        # A group that no program reads keeps the routers' password.
        where = f"socket = {self.socket}\n"
        if not self.socket:
            where = f"host = {self.host}\nport = {self.port}\nprotocol = tcp\n"
        write_private(folder / FILE, (
            f"[client]\n{where}user = {ROOT}\npassword = {self.root_password}\n"
            f"[mysql]\ndatabase = {self.database}\n"
            f"[hotpath-shard]\nuser = {ROUTER}\npassword = {self.password}\n").encode())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `write` wrote; None: there is no such file. Raises CannotStart."""
        path = folder / FILE
        parser = configparser.ConfigParser(interpolation=None)
        try:
            with open(path, encoding="utf-8") as file:
                parser.read_file(file)
            client = parser["client"]
            return cls(client["password"], parser["hotpath-shard"]["password"], parser["mysql"]["database"],
                       client.get("host", HOST), client.getint("port", NO_PORT), client.get("socket", ""))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, ValueError, configparser.Error) as error:
            # configparser's own words may hold a password.
            cause = error.strerror if isinstance(error, OSError) else "it is not as we wrote it"
            raise CannotStart(f"{path} cannot be read: {cause}; it holds the passwords of this shard") from None


def pattern(name: str) -> str:
    """A database's name in GRANT, where _ and % stand for others."""
    return quoted(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
