"""Accounts and sessions: who may make, change and end them."""
from __future__ import annotations

from dataclasses import dataclass

from .errors import Refused, invalid
from .operation import NoChannel
from .shapes import USER_COLUMNS, Shape, user_shape
from .statements import is_text, marks
from .transaction import Transaction

# What one account may hold open; beyond it the oldest ends: a client that logs in for each call shall not fill a table.
MAX_SESSIONS = 100
MAX_DISPLAY = 200


def _actor(tx: Transaction, user: int) -> Shape:
    row = tx.rows.one(f"SELECT {USER_COLUMNS} FROM users WHERE id = ?", (user,))
    if row is None or not row[4]:
        raise Refused(403, "this account is not active")
    return user_shape(row)


def _target(tx: Transaction, by: int, user: int) -> Shape:
    actor = _actor(tx, by)
    row = tx.rows.one(f"SELECT {USER_COLUMNS} FROM users WHERE id = ?{tx.rows.for_update}", (user,))
    if row is None:
        raise Refused(404, f"there is no user {user}")
    if by != user and not actor["admin"]:
        raise Refused(403, "only an admin changes the account of somebody else")
    return user_shape(row)


def _check_display(display: str) -> None:
    if len(display) > MAX_DISPLAY or not is_text(display):
        raise invalid("display", f"is not allowed; allowed: up to {MAX_DISPLAY} characters")


def _end_sessions(tx: Transaction, user: int, sessions: list[int]) -> None:
    if sessions:
        tx.rows.run(f"DELETE FROM sessions WHERE id IN ({marks(sessions)})", sessions)
        for session in sessions:
            tx.notify(user, {"session_over": session})


@dataclass(frozen=True, slots=True)
class CreateUser(NoChannel):
    """-> user. The first one ever is admin; unless `open`, only an admin (`by`) makes further ones."""

    name: str
    display: str
    password_hash: str
    by: int | None = None
    open: bool = True

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 409."""
        _check_display(self.display)
        is_first = self._is_first(tx)
        if not (is_first or self.open or (self.by is not None and _actor(tx, self.by)["admin"])):
            raise Refused(403, "only an admin makes accounts here")
        if tx.rows.one("SELECT 1 FROM users WHERE name = ?", (self.name,)):
            raise Refused(409, f"the name {self.name} is taken")
        display = self.display or self.name
        user = tx.rows.insert("INSERT INTO users (name, display, password_hash, admin, active, created_at) "
                              "VALUES (?, ?, ?, ?, 1, ?)",
                              (self.name, display, self.password_hash, int(is_first), tx.now_ms))
        return {"id": user, "name": self.name, "display": display, "admin": is_first, "active": True}

    @staticmethod
    def _is_first(tx: Transaction) -> bool:
        if tx.rows.one("SELECT 1 FROM users LIMIT 1"):
            return False
        # Two processes may both see nobody: one of them waits here, and looks again.
        tx.rows.one(f"SELECT value FROM meta WHERE name = 'epoch'{tx.rows.for_update}")
        return tx.rows.one("SELECT 1 FROM users LIMIT 1") is None


@dataclass(frozen=True, slots=True)
class ChangeUser(NoChannel):
    """-> user. With a new password the user's sessions end, but for `keep_session`; None keeps them all."""

    by: int
    user: int
    display: str | None = None
    password_hash: str | None = None
    keep_session: int | None = None

    def apply(self, tx: Transaction) -> Shape:
        """Refused 403, 404, 409."""
        user = _target(tx, self.by, self.user)
        if not user["active"]:
            raise Refused(409, "this account is not active")
        if self.display is not None:
            _check_display(self.display)
            user["display"] = self.display or user["name"]
            tx.rows.run("UPDATE users SET display = ? WHERE id = ?", (user["display"], self.user))
        if self.password_hash is not None:
            tx.rows.run("UPDATE users SET password_hash = ? WHERE id = ?", (self.password_hash, self.user))
            if self.keep_session is not None:
                _end_sessions(tx, self.user, [row[0] for row in tx.rows.all(
                    "SELECT id FROM sessions WHERE user_id = ? AND id <> ?", (self.user, self.keep_session))])
        return user


@dataclass(frozen=True, slots=True)
class DeactivateUser(NoChannel):
    """The account can do nothing any more, its sessions end; messages and memberships stay. Doing it again is fine."""

    by: int
    user: int

    def apply(self, tx: Transaction) -> None:
        """Refused 403, 404."""
        if _target(tx, self.by, self.user)["active"]:
            tx.rows.run("UPDATE users SET active = 0 WHERE id = ?", (self.user,))
        _end_sessions(tx, self.user, [row[0] for row in tx.rows.all("SELECT id FROM sessions WHERE user_id = ?",
                                                                    (self.user,))])


@dataclass(frozen=True, slots=True)
class CreateSession(NoChannel):
    """-> the session's id."""

    user: int
    token_hash: bytes
    expires_at: int
    checked: str | None = None      # the password's hash that was right; another by now: it was changed meanwhile

    def apply(self, tx: Transaction) -> int:
        """Refused 403: the account is not active; 401: its password is another one by now."""
        if not self.token_hash:
            raise invalid("token_hash", "is empty")
        _actor(tx, self.user)
        if self.checked is not None and not tx.rows.one(
                f"SELECT 1 FROM users WHERE id = ? AND password_hash = ?{tx.rows.for_update}",
                (self.user, self.checked)):
            raise Refused(401, "no such name and password")
        tx.rows.run("DELETE FROM sessions WHERE user_id = ? AND expires_at <= ?", (self.user, tx.now_ms))
        session = tx.rows.insert("INSERT INTO sessions (user_id, token_hash, created_at, expires_at) "
                                 "VALUES (?, ?, ?, ?)", (self.user, self.token_hash, tx.now_ms, self.expires_at))
        ids = [row[0] for row in tx.rows.all("SELECT id FROM sessions WHERE user_id = ? ORDER BY id", (self.user,))]
        _end_sessions(tx, self.user, ids[:-MAX_SESSIONS])
        return session


@dataclass(frozen=True, slots=True)
class EndSession(NoChannel):
    """Log out. Doing it again is fine."""

    session: int

    def apply(self, tx: Transaction) -> None:
        """Never refused."""
        row = tx.rows.one("SELECT user_id FROM sessions WHERE id = ?", (self.session,))
        if row is not None:
            _end_sessions(tx, row[0], [self.session])
