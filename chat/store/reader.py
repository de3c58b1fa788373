"""What the API reads: each answer from one moment, and only what its user may see."""
from __future__ import annotations

from .errors import Refused, invalid
from .events import event_frame
from .gatewayreads import GatewayReads, event_rows
from .search import search
from .shapes import MESSAGE_COLUMNS, USER_COLUMNS, Shape, channel_shape, message_shapes, user_shape
from .statements import Row, Statements, Value
from .transaction import outside
from .unread import marker

_CHANNEL = "c.id, c.kind, c.name, c.topic, c.archived, c.last_seq, c.created_at"
# Whatever begins with a prefix is below the prefix and this.
LAST_CHARACTER = "\U0010ffff"

_MEMBER = "m.role, m.last_read, m.rev"


def _channel(rows: Statements, channel: int, user: int) -> Row:
    """(_CHANNEL, _MEMBER) of a channel that `user` may know of. Refused 404."""
    row = rows.one(f"SELECT {_CHANNEL}, {_MEMBER} FROM channels c LEFT JOIN memberships m "
                   "ON m.channel_id = c.id AND m.user_id = ? WHERE c.id = ? AND NOT c.deleted", (user, channel))
    if row is None or (row[7] is None and row[1] != "public"):
        raise Refused(404, f"there is no channel {channel}")
    return row


def _entered(rows: Statements, channel: int, user: int) -> Row:
    """The same of one that `user` is a member of. Refused 403, 404."""
    row = _channel(rows, channel, user)
    if row[7] is None:
        raise outside(row[1], channel)
    return row


def _with_member(rows: Statements, row: Row, user: int) -> Shape:
    shape = channel_shape(*row[:7])
    if row[7] is not None:
        shape["member"] = {"role": row[7], **marker(rows, row[0], user, row[8], row[9])}
    return shape


class Reader(GatewayReads):
    """Blocking, for any thread. Everything raises Unavailable, and what it says."""

    # ---- accounts

    def user(self, user: int) -> Shape:
        """Refused 404."""
        row = self._database.read(lambda rows: rows.one(f"SELECT {USER_COLUMNS} FROM users WHERE id = ?", (user,)))
        if row is None:
            raise Refused(404, f"there is no user {user}")
        return user_shape(row)

    def users(self, prefix: str = "", after: int = 0, limit: int = 100) -> list[Shape]:
        """Those whose name begins with `prefix`, by id, behind the id `after`."""
        # Not LIKE: SQLite's folds case, MySQL's follows the collation.
        return [user_shape(row) for row in self._database.read(lambda rows: rows.all(
            f"SELECT {USER_COLUMNS} FROM users WHERE id > ? AND name >= ? AND name < ? ORDER BY id LIMIT ?",
            (after, prefix, prefix + LAST_CHARACTER, limit)))]

    def login_row(self, name: str) -> tuple[Shape, str] | None:
        """(user, password_hash) of an account, active or not; None: there is none."""
        row = self._database.read(lambda rows: rows.one(
            f"SELECT {USER_COLUMNS}, password_hash FROM users WHERE name = ?", (name,)))
        return None if row is None else (user_shape(row), str(row[5]))

    def session(self, token_hash: bytes) -> tuple[int, Shape, int] | None:
        """(session, user, expires_at); None: unknown, expired, or the account is not active."""
        row = self._database.read(lambda rows: rows.one(
            "SELECT s.id, s.expires_at, u.id, u.name, u.display, u.admin, u.active FROM sessions s "
            "JOIN users u ON u.id = s.user_id WHERE s.token_hash = ? AND s.expires_at > ? AND u.active",
            (token_hash, self._wall_ms())))
        return None if row is None else (int(row[0]), user_shape(row[2:]), int(row[1]))

    # ---- channels

    def channels(self, user: int, scope: str = "mine") -> list[Shape]:
        """`mine`: those one is a member of, with `member`. `public`: all public ones."""
        def read(rows: Statements) -> list[Shape]:
            if scope == "mine":
                found = rows.all(f"SELECT {_CHANNEL}, {_MEMBER} FROM memberships m "
                                 "JOIN channels c ON c.id = m.channel_id WHERE m.user_id = ? AND NOT c.deleted "
                                 "ORDER BY c.id", (user,))
                return [_with_member(rows, row, user) for row in found]
            return [channel_shape(*row) for row in rows.all(
                f"SELECT {_CHANNEL} FROM channels c WHERE c.kind = 'public' AND NOT c.deleted ORDER BY c.id")]

        if scope not in ("mine", "public"):
            raise invalid("scope", "allowed: mine, public")
        return self._database.read(read)

    def channel(self, user: int, channel: int) -> Shape:
        """A public one, or one's own, the latter with `member`. Refused 404."""
        return self._database.read(lambda rows: _with_member(rows, _channel(rows, channel, user), user))

    def members(self, user: int, channel: int) -> list[Shape]:
        """Refused 403, 404."""
        def read(rows: Statements) -> list[Row]:
            _entered(rows, channel, user)
            return rows.all("SELECT user_id, role, joined_seq FROM memberships WHERE channel_id = ? "
                            "ORDER BY joined_seq", (channel,))

        return [{"user": row[0], "role": row[1], "joined_seq": row[2]} for row in self._database.read(read)]

    # ---- the log

    def history(self, user: int, channel: int, *, before: int | None = None, after: int | None = None,
                around: int | None = None, limit: int = 50) -> Shape:
        """{messages, head, more_before, more_after}, by seq; without a cursor the newest. Refused 403, 404, 422."""
        if sum(cursor is not None for cursor in (before, after, around)) > 1:
            raise Refused(422, "before, after and around exclude each other", [
                {"field": name, "what": "allowed: one of before, after, around"}
                for name, cursor in (("before", before), ("after", after), ("around", around)) if cursor is not None])

        def read(rows: Statements) -> Shape:
            head = _entered(rows, channel, user)[5]
            if after is not None:
                low, high = [], _upwards(rows, channel, after, limit + 1)
                n_low, n_high = 0, limit
            elif around is not None:
                n_low = limit // 2
                n_high = limit - n_low
                low = _downwards(rows, channel, around, n_low + 1)
                high = _upwards(rows, channel, around - 1, n_high + 1)
            else:
                low, high = _downwards(rows, channel, head + 1 if before is None else before, limit + 1), []
                n_low, n_high = limit, 0
            found = [*reversed(low[:n_low]), *high[:n_high]]
            more_before, more_after = len(low) > n_low, len(high) > n_high
            first, last = (found[0][2], found[-1][2]) if found else _edges(before, after, head)
            if after is not None:
                more_before = _is_any(rows, channel, "seq < ?", first)
            if before is not None:
                more_after = _is_any(rows, channel, "seq > ?", last)
            return {"messages": message_shapes(rows, found), "head": head, "more_before": more_before,
                    "more_after": more_after}

        return self._database.read(read)

    def events(self, user: int, channel: int, *, after: int = 0, limit: int = 200) -> tuple[list[bytes], int]:
        """(frames behind the seq `after`, head). Refused 403, 404."""
        def read(rows: Statements) -> tuple[list[bytes], int]:
            head = _entered(rows, channel, user)[5]
            return [event_frame(*row) for row in event_rows(rows, channel, after, limit)], head

        return self._database.read(read)

    def message(self, user: int, message: int) -> Shape:
        """Refused 403, 404."""
        return self._database.read(lambda rows: message_shapes(rows, [_message(rows, user, message)])[0])

    def thread(self, user: int, root: int, *, after: int = 0, limit: int = 50) -> Shape:
        """{root, messages}: the replies behind the seq `after`. Refused 403, 404."""
        def read(rows: Statements) -> Shape:
            row = _message(rows, user, root)
            replies = rows.all(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE root_id = ? AND seq > ? "
                               "ORDER BY seq LIMIT ?", (root, after, limit))
            first, *rest = message_shapes(rows, [row, *replies])
            return {"root": first, "messages": rest}

        return self._database.read(read)

    def search(self, user: int, q: str, *, channel: int | None = None, from_: int | None = None,
               before: int | None = None, limit: int = 20) -> list[Shape]:
        """Messages with all words of `q` in one's channels, newest first, ids below `before`. Refused 403, 404, 422."""
        def read(rows: Statements) -> list[Shape]:
            if channel is not None:
                _entered(rows, channel, user)
            found = search(rows, user, q, channel=channel, author=from_, before=before, limit=limit)
            return message_shapes(rows, found)

        return self._database.read(read)


def _message(rows: Statements, user: int, message: int) -> Row:
    row = rows.one(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?", (message,))
    if row is None:
        raise Refused(404, f"there is no message {message}")
    try:
        _entered(rows, row[1], user)
    except Refused as refused:
        raise Refused(404, f"there is no message {message}") if refused.status == 404 else refused from None
    return row


def _downwards(rows: Statements, channel: int, below: int, limit: int) -> list[Row]:
    return rows.all(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE channel_id = ? AND seq < ? "
                    "ORDER BY seq DESC LIMIT ?", (channel, below, limit))


def _upwards(rows: Statements, channel: int, above: int, limit: int) -> list[Row]:
    return rows.all(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE channel_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                    (channel, above, limit))


def _is_any(rows: Statements, channel: int, condition: str, seq: Value) -> bool:
    return rows.one(f"SELECT 1 FROM messages WHERE channel_id = ? AND {condition} LIMIT 1", (channel, seq)) is not None


def _edges(before: int | None, after: int | None, head: int) -> tuple[int, int]:
    """Between which seqs an empty page lies."""
    if after is not None:
        return after + 1, after
    return (head + 1, head) if before is None else (before, before - 1)
