"""What the IDE refuses; each says its status, and so who must act.

    Refusal
    ├── BadRequest BadPath               400
    ├── OutsideProject NotAllowed        403  a link leads out of the project; the file's mode forbids it
    ├── NotFound                         404
    ├── Exists NotAFile NotAFolder NotEmpty IntoItself NameTaken NotRunning Busy NoBackup  409
    ├── Stale                            412  somebody wrote the file since
    ├── TooLarge                         413
    ├── Invalid BadArchive SearchTooLong 422
    ├── ConditionRequired                428
    ├── TooMany                          429
    ├── SandboxFailed BackupFailed       503  something beside us does not work: the detail says what
    └── NoRoom                           507  the project is full, or the disk
"""
from __future__ import annotations

from collections.abc import Sequence

from hotpath.core.errors import HotpathError


class Refusal(HotpathError):
    """Answered as a problem: `status`, `code`, the text as detail, `members` beside it."""

    status = 500
    code = "internal"

    def __init__(self, detail: str, *, headers: Sequence[tuple[str, str]] = (), **members: object) -> None:
        """Keep the parts."""
        super().__init__(detail)
        self.detail = detail
        self.headers = tuple(headers)
        self.members = members


class BadRequest(Refusal):
    """The client: a value that is none."""

    status, code = 400, "bad-request"


class BadPath(Refusal):
    """The client: no path of a project, whatever is there."""

    status, code = 400, "bad-path"


class OutsideProject(Refusal):
    """The client: a link on the way leads out of the project."""

    status, code = 403, "outside-project"


class NotAllowed(Refusal):
    """The client: the file's mode or owner forbids it to the server; a terminal can change them."""

    status, code = 403, "not-allowed"


class NotFound(Refusal):
    """The client: there is no such thing."""

    status, code = 404, "not-found"


class Exists(Refusal):
    """The client: something stands there already."""

    status, code = 409, "exists"


class NotAFile(Refusal):
    """The client: a folder, a pipe, a device: nothing that has contents."""

    status, code = 409, "not-a-file"


class NotAFolder(Refusal):
    """The client: it has nothing in it."""

    status, code = 409, "not-a-folder"


class NotEmpty(Refusal):
    """The client: the folder has something in it."""

    status, code = 409, "not-empty"


class IntoItself(Refusal):
    """The client: a folder cannot be put into itself."""

    status, code = 409, "into-itself"


class NameTaken(Refusal):
    """The client: another project is called so."""

    status, code = 409, "name-taken"


class NotRunning(Refusal):
    """The client: start the project first."""

    status, code = 409, "not-running"


class Busy(Refusal):
    """The client: something else must end first."""

    status, code = 409, "busy"


class NoBackup(Refusal):
    """The operator: no bucket is configured."""

    status, code = 409, "no-backup-configured"


class Stale(Refusal):
    """The client: the contents are others by now; `etag` says which."""

    status, code = 412, "stale"

    def __init__(self, detail: str, etag: str | None) -> None:
        """`etag`: of what is there now; None: nothing is."""
        super().__init__(detail, headers=() if etag is None else (("ETag", f'"{etag}"'),), etag=etag)
        self.etag = etag


class TooLarge(Refusal):
    """The client: more than a file or a request may have."""

    status, code = 413, "too-large"


class Invalid(Refusal):
    """The client: understood, and not allowed."""

    status, code = 422, "invalid"


class BadArchive(Refusal):
    """The client: an archive that is not taken; `entry` says where it is bad."""

    status, code = 422, "bad-archive"


class SearchTooLong(Refusal):
    """The client: the search took longer than it may."""

    status, code = 422, "search-too-long"


class ConditionRequired(Refusal):
    """The client: say which contents you replace, or that there are none."""

    status, code = 428, "condition-required"


class TooMany(Refusal):
    """The client: as many as there may be."""

    status, code = 429, "too-many"


class SandboxFailed(Refusal):
    """The operator: a sandbox does not start, or its engine does not answer."""

    status, code = 503, "sandbox-failed"


class BackupFailed(Refusal):
    """The operator: the store does not answer, or what it has is not what was put there."""

    status, code = 503, "backup-failed"


class NoRoom(Refusal):
    """Whoever fills it: the project's budget or the disk is used up."""

    status, code = 507, "no-room"
