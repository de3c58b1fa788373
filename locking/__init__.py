"""Optimistic and pessimistic locking on SQLAlchemy."""
from .adaptive import Adaptive
from .advisory import advisory
from .claim import claim, finish
from .classify import classify, translating
from .engine import engine
from .errors import (
    Conflict,
    Deadlock,
    Disconnected,
    LockingError,
    LockTimeout,
    LostLease,
    Missing,
    Retriable,
    Serialization,
    Unusable,
)
from .lease import Lease, lease
from .models import Claimable, Versioned
from .optimistic import cas_update, ensure_unchanged, force_increment
from .pessimistic import locked
from .policies import Escalating, Optimistic, Pessimistic
from .stats import Stats
from .work import Tx, run

__all__ = [
    "Adaptive", "Claimable", "Conflict", "Deadlock", "Disconnected", "Escalating", "Lease", "LockTimeout",
    "LockingError", "LostLease", "Missing", "Optimistic", "Pessimistic", "Retriable", "Serialization", "Stats", "Tx",
    "Unusable", "Versioned", "advisory", "cas_update", "claim", "classify", "engine", "ensure_unchanged",
    "finish", "force_increment", "lease", "locked", "run", "translating",
]
