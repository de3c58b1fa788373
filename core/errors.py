"""Every exception of hotpath, in one tree; a name says who must act.

    HotpathError
    ├── ConfigError              whoever wrote the file or the flag: FILE:LINE says where
    ├── ListenError              the operator: an address cannot be bound or handed over
    ├── TaskCancelled            whoever asked a task for its result: it was cancelled and has none
    ├── ConnectionClosed         nobody: the conversation is over, `code` says how
    ├── KeyExists                the caller: add would overwrite a live key (also a KeyError)
    ├── StampMismatch            the caller: somebody wrote the key since (also a ValueError)
    ├── Damaged                  whoever sent or stored the bytes: they are no delta, cell or digest (also a ValueError)
    ├── BiasMismatch             the operator: the two tables settle ties in opposite ways (also a ValueError)
    ├── DuplicateKey             the caller: a row with this key stands already (also a KeyError)
    ├── InvalidRow               the caller: the row breaks the table's declaration, `errors` says where (a ValueError)
    ├── UnknownTable             the caller: no such table is declared (also a LookupError)
    ├── ShardUnavailable         time: the shard cannot answer now; nothing was applied unless `outcome` is unknown
    │   ├── PoolTimeout          time: all connections, or the row, were somebody else's for too long
    │   └── UncertainOutcome     the caller: the connection was lost behind the statement; it may have been applied
    ├── ReshardConflict          the operator: not in this state of the cluster
    ├── SchemaDrift              the operator: a shard's table is not as declared
    └── ProtocolError            (never raised itself)
        ├── LocalProtocolError   we, the callers: the bytes we were about to send break the protocol
        └── RemoteProtocolError  the peer: answer `error_status_hint`, then close

Beside the tree stands `Cancelled`. It is no error, and nobody's `except Exception` may keep it: a BaseException.
"""
from __future__ import annotations


class HotpathError(Exception):
    """The root: catches whatever hotpath raises on purpose."""


class ConfigError(HotpathError):
    """A configuration that cannot be used.

    `str()` is `FILE:LINE: path.to.key: what is wrong, what is allowed`. `line` counts from 1; 0 means that no line
    is to blame (a missing file, a flag) and leaves it out, as an empty `path` is left out.
    """

    def __init__(self, file: str, line: int, path: str, message: str) -> None:
        """Keep the four parts, and say them in one sentence."""
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, path, message) if part))
        self.file = file
        self.line = line
        self.path = path
        self.message = message

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, int, str, str]]:
        """Pickle by the four fields: the default would call us with the finished sentence alone."""
        return type(self), (self.file, self.line, self.path, self.message)


class ListenError(HotpathError):
    """An address that cannot be listened on: taken, not ours, forbidden, or not handed over by an upgrade.

    `address` is its text as configured, so that a service can find the line it came from.
    """

    def __init__(self, address: str, cause: str) -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"{address}: {cause}")
        self.address = address
        self.cause = cause

    def __reduce__(self) -> tuple[type[ListenError], tuple[str, str]]:
        """Pickle by the two fields: the default would call us with the finished sentence alone."""
        return type(self), (self.address, self.cause)


class Cancelled(BaseException):
    """Raised where a task waits, when somebody cancelled it: clean up and let it pass."""


class TaskCancelled(HotpathError):
    """`result()` of a task that was cancelled. Not `Cancelled`: that would end the task that asked."""


class ConnectionClosed(HotpathError):
    """A websocket that nothing more comes from, and nothing more can be sent to.

    `code` is that of RFC 6455 section 7.4; 1005: closed without one, 1006: ended without a close.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"closed with {code}: {reason}" if reason else f"closed with {code}")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[ConnectionClosed], tuple[int, str]]:
        """Pickle by the two fields: the default would call us with the finished sentence alone."""
        return type(self), (self.code, self.reason)


class KeyExists(HotpathError, KeyError):
    """`add` of a key that is live; `stamp` is that of the live cell, which stays."""

    def __init__(self, key: object, stamp: object) -> None:
        """Both, as a KeyError shows its key."""
        super().__init__(key)
        self.stamp = stamp

    def __reduce__(self) -> tuple[type[KeyExists], tuple[object, object]]:
        """Pickle by the two fields."""
        return type(self), (self.args[0], self.stamp)


class StampMismatch(HotpathError, ValueError):
    """A write that was to replace one particular cell; `stamp` is that of the live cell there, None if none is live."""

    def __init__(self, stamp: object) -> None:
        """Say what is there."""
        super().__init__(f"live is {stamp}" if stamp is not None else "the key is not live")
        self.stamp = stamp

    def __reduce__(self) -> tuple[type[StampMismatch], tuple[object]]:
        """Pickle by the field."""
        return type(self), (self.stamp,)


class Damaged(HotpathError, ValueError):
    """Bytes that are not what they should be: cut off, altered, or never made by us. Nothing of them was used."""


class BiasMismatch(HotpathError, ValueError):
    """A delta or digest of the other bias: merged, the two would never agree. Nothing was merged."""


class DuplicateKey(HotpathError, KeyError):
    """An insert of a key that a row has; that row stays."""

    def __init__(self, table: str, key: object) -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"{table}: a row with the key {key!r} exists")
        self.table = table
        self.key = key

    def __str__(self) -> str:
        """The sentence; KeyError would quote it."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[DuplicateKey], tuple[str, object]]:
        """Pickle by the two fields."""
        return type(self), (self.table, self.key)


class InvalidRow(HotpathError, ValueError):
    """A row, or changes of one, that the table's declaration refuses. Nothing was applied.

    `errors` are `{"path": ..., "message": ...}`, at least one.
    """

    def __init__(self, errors: list[dict[str, str]]) -> None:
        """Keep them, and say them in one sentence."""
        super().__init__("; ".join(f"{one['path']}: {one['message']}" if one["path"] else one["message"]
                                   for one in errors))
        self.errors = errors

    def __reduce__(self) -> tuple[type[InvalidRow], tuple[list[dict[str, str]]]]:
        """Pickle by the field."""
        return type(self), (self.errors,)


class UnknownTable(HotpathError, LookupError):
    """No table of this name is declared."""


class ShardUnavailable(HotpathError):
    """A shard cannot answer now: try again in `retry_after_s`. `outcome`: "none" (surely not applied) or "unknown"."""

    outcome = "none"

    def __init__(self, shard: str, cause: str, *, retry_after_s: float = 1.0) -> None:
        """Keep the three, and say the first two in one sentence."""
        super().__init__(f"{shard}: {cause}")
        self.shard = shard
        self.cause = cause
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[ShardUnavailable], tuple[str, str], dict[str, float]]:
        """Pickle by the three fields."""
        return type(self), (self.shard, self.cause), {"retry_after_s": self.retry_after_s}


class PoolTimeout(ShardUnavailable):
    """Waited as long as allowed for a connection, or for a row that somebody else holds. Nothing was applied."""


class UncertainOutcome(ShardUnavailable):
    """The connection was lost after a statement that changes had left: it may have been applied, or not."""

    outcome = "unknown"


class ReshardConflict(HotpathError):
    """What was asked for cannot be done in this state: another reshard runs, none runs, or the name is taken."""


class SchemaDrift(HotpathError):
    """A table of a shard is not as declared; the message names shard, table and column."""


class ProtocolError(HotpathError):
    """Somebody broke the protocol; the subclasses say who. h11 and wsproto use the same two names."""

    def __init__(self, message: str, error_status_hint: int = 400) -> None:
        """`error_status_hint`: the HTTP status to answer with, if one is due. TypeError for this class itself."""
        if type(self) is ProtocolError:
            raise TypeError("a ProtocolError says who is to blame: LocalProtocolError or RemoteProtocolError")
        super().__init__(message)
        self.error_status_hint = error_status_hint


class LocalProtocolError(ProtocolError):
    """We asked for something the protocol forbids; nothing was sent. `error_status_hint` means nothing here."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: answer `error_status_hint`, then close."""
