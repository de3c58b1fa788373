"""What a unit of work can end with; the name says who must act.

    LockingError
    ├── Retriable                nobody, yet: the same work in a new transaction may succeed; `run` tries it
    │   ├── Conflict             somebody changed what was read
    │   │   └── Serialization    the database found that no order of the transactions explains what they read
    │   ├── Deadlock             two waited for each other, and the database chose this one to give way
    │   ├── LockTimeout          somebody held a lock, or a lease, for longer than was to be waited
    │   └── Disconnected         the connection was lost; lost at COMMIT, it may have been committed
    ├── Missing                  the caller: no row has this key (also a LookupError)
    ├── LostLease                the holder: stop working, another may have begun
    └── Unusable                 the operator: the URL, the driver, the server or the tables are not as needed
"""
from __future__ import annotations

from hotpath.core.errors import HotpathError


class LockingError(HotpathError):
    """The root: catches whatever this package raises on purpose."""


class Retriable(LockingError):
    """The transaction is over, and nothing of it stands; a new one may succeed.

    `attempts`: how many tries there were, when `run` gave up; else 1.
    """

    attempts = 1


class Conflict(Retriable):
    """A row has another version than the one that was read.

    `key`: of the row, None where the database does not say; `expected`, `actual`: versions, None if unknown.
    """

    def __init__(self, key: object = None, expected: int | None = None, actual: int | None = None, *,
                 cause: str = "") -> None:
        """`cause`: what the database said, where there are no versions to tell of."""
        if cause:
            sentence = cause
        elif actual is None:
            sentence = f"the row {key!r} was changed since it was read"
        else:
            sentence = f"the row {key!r} has version {actual}, not {expected}: it was changed since it was read"
        super().__init__(sentence)
        self.key = key
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the fields: the default would call us with the finished sentence."""
        return _again, (type(self), (self.key, self.expected, self.actual), str(self), self.__dict__)


class Serialization(Conflict):
    """The database found a conflict by itself: SERIALIZABLE or a snapshot that is out of date."""


class Deadlock(Retriable):
    """This transaction was rolled back, so that another can go on."""


class LockTimeout(Retriable):
    """Somebody else holds it, and the wait was as long as allowed."""


class Disconnected(Retriable):
    """The server is gone, or ended the connection.

    `unknown`: it was lost at COMMIT, so the work may stand or not; `run` never tries that again.
    """

    unknown = False


class Missing(LockingError, LookupError):
    """No row of `model` has the key."""

    def __init__(self, model: type, key: object) -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"{model.__name__}: there is no row {key!r}")
        self.model = model
        self.key = key

    def __reduce__(self) -> tuple[type[Missing], tuple[type, object]]:
        """Pickle by the fields."""
        return type(self), (self.model, self.key)


class LostLease(LockingError):
    """The lease, or the job, went to another, or its time is over; `token` is the one that does not count any more."""

    def __init__(self, name: object, token: int) -> None:
        """Keep both, and say them in one sentence."""
        super().__init__(f"{name}: token {token} is not the holder's any more")
        self.name = name
        self.token = token

    def __reduce__(self) -> tuple[type[LostLease], tuple[object, int]]:
        """Pickle by the fields."""
        return type(self), (self.name, self.token)


class Unusable(LockingError):
    """The database cannot be used; the message names the cure."""


def _again(kind: type[Conflict], fields: tuple[object, int, int], sentence: str, state: dict[str, object]) -> Conflict:
    error = kind(*fields, cause=sentence)
    error.__dict__.update(state)
    return error
