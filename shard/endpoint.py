"""Where a database is: a file of SQLite, or a database of a MySQL server; written as a DSN."""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_NAME = re.compile(r"[A-Za-z0-9_$-]{1,64}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A database. `path` is SQLite's; the rest is MySQL's, where a `socket` goes before host and port."""

    kind: Literal["sqlite", "mysql"]
    path: str = ""
    host: str = ""
    port: int = 0
    socket: str = ""
    user: str = ""
    password: str = ""
    database: str = ""

    forms: ClassVar[str] = "mysql://USER:PASSWORD@HOST:PORT/DATABASE[?unix_socket=PATH]"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `mysql://USER:PASSWORD@HOST:PORT/DATABASE[?unix_socket=PATH]` or `sqlite:PATH`. Raises ValueError."""
        if text.startswith("sqlite:") and len(text) > 7 and "\0" not in text:
            return cls("sqlite", path=text[7:])
        refusal = ValueError(f"not a DSN; allowed: {cls.forms}")    # the text may hold a password
        try:
            parts = urlsplit(text)
            query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            port = parts.port if parts.port is not None else 3306
        except ValueError:
            raise refusal from None
        database = unquote(parts.path[1:])
        if (parts.scheme != "mysql" or parts.fragment or not parts.username or set(query) - {"unix_socket"}
                or not _NAME.fullmatch(database) or not port or not (parts.hostname or query)):
            raise refusal
        return cls("mysql", host=parts.hostname or "localhost", port=port, socket=query.get("unix_socket", ""),
                   user=unquote(parts.username), password=unquote(parts.password or ""), database=database)

    def in_database(self, name: str) -> Self:
        """The same server, another database."""
        return replace(self, database=name)

    @property
    def shown(self) -> str:
        """As people may see it: without the password."""
        return str(replace(self, password="***")) if self.password else str(self)

    @property
    def address(self) -> str:
        """Where it listens, in short: a path, or HOST:PORT."""
        return self.path or self.socket or (f"[{self.host}]:{self.port}" if ":" in self.host else
                                            f"{self.host}:{self.port}")

    def __str__(self) -> str:
        """As `parse` reads it, password and all."""
        if self.kind == "sqlite":
            return f"sqlite:{self.path}"
        secret = f":{quote(self.password, safe='*')}" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        socket = f"?unix_socket={quote(self.socket)}" if self.socket else ""
        return f"mysql://{quote(self.user, safe='')}{secret}@{host}:{self.port}/{quote(self.database)}{socket}"
