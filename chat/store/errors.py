"""What the store says no with: `Refused` is the caller's fault, `Unavailable` the database's."""
from __future__ import annotations

from collections.abc import Sequence

from hotpath.core.errors import HotpathError


class Refused(HotpathError):
    """The rules of the chat forbid it; nothing was stored. `status`: the HTTP status that says who must act.

    `errors`: the fields to blame, each as {"field", "what"}.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)


def invalid(field: str, what: str) -> Refused:
    """A 422 for one field."""
    return Refused(422, f"{field}: {what}", [{"field": field, "what": what}])


class Unavailable(HotpathError):
    """The database is gone, full, or locked by somebody else for longer than `database.busy`: try again later.

    Nothing was stored, with one exception: when the line to MySQL broke during COMMIT, nobody knows. A retry of a
    message with its `client_msg_id` finds out.
    """
