"""The tables: users, channels with their logs, messages and what hangs on them, sessions, leases.

There are no foreign keys. Only the writer writes, and it never deletes a user, a channel or a message; InnoDB would
take a shared lock on the parent's row at each insert, in an order that is not ours.
"""
from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

__all__ = [
    "NAME_LENGTH", "channels", "events", "leases", "memberships", "mentions", "messages", "meta", "metadata",
    "reactions", "sessions", "users",
]

NAME_LENGTH = 80        # of a channel's name; a user's is shorter

# The default collation of MySQL folds case and accents: `Id-1` and `id-1` would be the same message.
BINARY = "utf8mb4_bin"
# The text is never compared, only searched: as people expect, without regard to case.
FOLDING = "utf8mb4_general_ci"


def _id() -> TypeEngine[int]:
    # Only an INTEGER PRIMARY KEY is SQLite's own row number.
    return BigInteger().with_variant(Integer(), "sqlite")


def _word(length: int) -> TypeEngine[str]:
    return String(length).with_variant(mysql.VARCHAR(length, collation=BINARY), "mysql", "mariadb")


def _prose() -> TypeEngine[str]:
    return Text().with_variant(mysql.MEDIUMTEXT(collation=FOLDING), "mysql", "mariadb")


metadata = MetaData()

users = Table(
    "users", metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("name", _word(32), nullable=False, unique=True),
    Column("display", _word(200), nullable=False),
    Column("password_hash", _word(255), nullable=False),
    Column("admin", Boolean, nullable=False, server_default=false()),
    Column("active", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True, mysql_charset="utf8mb4", mysql_engine="InnoDB")

channels = Table(
    "channels", metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("kind", _word(8), nullable=False),               # public, private, dm
    Column("name", _word(NAME_LENGTH), nullable=True),      # of a dm: none
    Column("live_name", _word(NAME_LENGTH), unique=True),   # the name while the channel lives: unique among those
    Column("dm_key", _word(255), unique=True),              # the members' ids, ascending: one dm for each set
    Column("topic", _word(1000), nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("last_seq", BigInteger, nullable=False),         # of the log: events 1 … last_seq exist
    Column("published_seq", BigInteger, nullable=False),    # those up to here were handed to Redis at least once
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True, mysql_charset="utf8mb4", mysql_engine="InnoDB")

memberships = Table(
    "memberships", metadata,
    Column("channel_id", BigInteger, primary_key=True),
    Column("user_id", BigInteger, primary_key=True),
    Column("role", _word(8), nullable=False),               # owner, member
    Column("joined_seq", BigInteger, nullable=False),       # of the own member.joined
    Column("last_read", BigInteger, nullable=False),
    Column("rev", BigInteger, nullable=False),              # of last_read: the higher one wins
    Column("version", BigInteger, nullable=False),          # meta.membership_version when it was made
    Index("memberships_of_user", "user_id"),
    Index("memberships_by_version", "version"),
    sqlite_with_rowid=False, mysql_charset="utf8mb4", mysql_engine="InnoDB")

events = Table(
    "events", metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", _word(24), nullable=False),
    Column("actor", BigInteger, nullable=False),
    Column("data", _prose(), nullable=False),               # JSON text: the frame's `data`, byte for byte
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False, mysql_charset="utf8mb4", mysql_engine="InnoDB")

messages = Table(
    "messages", metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("channel_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("client_msg_id", _word(64), nullable=False),
    Column("text", _prose(), nullable=False),               # as it is now; of a deleted one ""
    Column("digest", _word(32), nullable=False),            # of the text as it was sent: what a retry is compared with
    Column("root_id", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("edited_at", BigInteger),
    Column("deleted", Boolean, nullable=False),
    UniqueConstraint("channel_id", "seq"),
    UniqueConstraint("user_id", "client_msg_id"),
    Index("messages_of_thread", "root_id", "seq", sqlite_where=text("root_id IS NOT NULL")),
    sqlite_autoincrement=True, mysql_charset="utf8mb4", mysql_engine="InnoDB")

reactions = Table(
    "reactions", metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", _word(64), primary_key=True),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),              # of the event that added it: their order
    sqlite_with_rowid=False, mysql_charset="utf8mb4", mysql_engine="InnoDB")

mentions = Table(
    "mentions", metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("channel_id", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),              # of the message: what is counted behind last_read
    Index("mentions_of_user", "user_id", "channel_id", "seq"),
    sqlite_with_rowid=False, mysql_charset="utf8mb4", mysql_engine="InnoDB")

sessions = Table(
    "sessions", metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("user_id", BigInteger, nullable=False),
    Column("token_hash", LargeBinary(32).with_variant(mysql.VARBINARY(64), "mysql", "mariadb"), nullable=False,
           unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("sessions_of_user", "user_id"),
    sqlite_autoincrement=True, mysql_charset="utf8mb4", mysql_engine="InnoDB")

leases = Table(
    "leases", metadata,
    Column("name", _word(32), primary_key=True),
    Column("owner", _word(64), nullable=False),
    Column("fence", BigInteger, nullable=False),            # only ever rises, by one with each new holder
    Column("until", BigInteger, nullable=False),
    mysql_charset="utf8mb4", mysql_engine="InnoDB")

meta = Table(
    "meta", metadata,
    Column("name", _word(32), primary_key=True),            # epoch, membership_version
    Column("value", _word(255), nullable=False),
    mysql_charset="utf8mb4", mysql_engine="InnoDB")
