"""What is refused, and what goes wrong in the database, as an answer: which status says who must act?"""
from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from logging import getLogger

from sqlalchemy.exc import SQLAlchemyError

from hotpath.core.errors import HotpathError
from hotpath.core.serve import Response, problem
from hotpath.locking.classify import first_line
from hotpath.locking.errors import Conflict, Disconnected, LockingError, LostLease, Missing, Retriable
from hotpath.locking.scenarios import UnknownPolicy, UnknownScenario

log = getLogger(__name__)

# A conflict is over in no time; a server that was lost needs to come back.
AGAIN_S = 1
# What only the operator can mend.
MENDED_S = 10


class Refusal(HotpathError):
    """This request cannot be done as things are: raised in a unit of work, which is undone, and then answered."""

    def __init__(self, status: int, detail: str, *, headers: tuple[tuple[str, str], ...] = (), **more: object) -> None:
        """`more`: further members of the problem."""
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.more = more


def retry_after(seconds: float) -> tuple[str, str]:
    """Whole seconds, at least one (RFC 9110 section 10.2.3)."""
    return "Retry-After", str(max(1, math.ceil(seconds)))


def refused(error: Exception) -> Response:
    """The error as an answer."""
    match error:
        case Refusal():
            return problem(error.status, None, str(error), headers=error.headers, **error.more)
        case Missing():
            return problem(404, detail=f"no such {error.model.__name__.lower()}")
        case UnknownScenario() | UnknownPolicy():
            return problem(404 if isinstance(error, UnknownScenario) else 422, detail=str(error))
        case LostLease():
            return problem(423, detail="this token is not that of the lock's holder")
        case Disconnected():
            outcome = "unknown" if error.unknown else "none"
            return problem(503, detail="the database cannot be reached", headers=(retry_after(AGAIN_S),),
                           outcome=outcome, attempts=error.attempts)
        case Retriable():
            why = "others were faster" if isinstance(error, Conflict) else "others held a lock"
            return problem(503, detail=f"{why}, {error.attempts} times", headers=(retry_after(AGAIN_S),),
                           outcome="none", attempts=error.attempts)
        case _:
            # Not the client's, nor of a kind that another try mends: a full disk, a table that somebody dropped.
            log.error("the database refused: kind=%s cause=%s", type(error).__name__, first_line(error))
            return problem(503, detail="the database cannot do this; the server's log says why",
                           headers=(retry_after(MENDED_S),), outcome="none")


def answered(handler: Callable[..., Response]) -> Callable[..., Response]:
    """The handler, with what is refused as an answer; no answer is kept by a cache, for locks come and go unseen."""
    @wraps(handler)
    def handle(*given: object, **values: object) -> Response:
        try:
            response = handler(*given, **values)
        except (Refusal, LockingError, SQLAlchemyError) as error:
            response = refused(error)
        response.add_header("Cache-Control", "no-store")
        return response

    return handle
