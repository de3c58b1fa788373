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
