"""What the gateways read: many channels or users in one question, and no permissions to check."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from .database import Database
from .events import Event, event_of
from .statements import Row, Statements, marks, slices
from .transaction import wall_clock_ms


class GatewayReads:
    """Blocking, for any thread. Everything raises Unavailable."""

    def __init__(self, database: Database, *, wall_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._database = database
        self._wall_ms = wall_ms

    def epoch(self) -> str:
        """Which history this is."""
        return self._database.epoch()

    def sessions_alive(self, sessions: Iterable[int]) -> dict[int, int]:
        """{session: user} of those that are not over, and whose user is active."""
        listed = list(sessions)

        def read(rows: Statements) -> dict[int, int]:
            return {row[0]: row[1] for some in slices(listed) for row in rows.all(
                "SELECT s.id, s.user_id FROM sessions s JOIN users u ON u.id = s.user_id "
                f"WHERE s.id IN ({marks(some)}) AND u.active AND s.expires_at > ?", (*some, self._wall_ms()))}

        return self._database.read(read)

    def memberships(self, users: Iterable[int]) -> dict[int, list[tuple[int, int, int]]]:
        """{user: [(channel, joined_seq, last_seq)]} for each of `users`."""
        listed = list(dict.fromkeys(users))

        def read(rows: Statements) -> dict[int, list[tuple[int, int, int]]]:
            found: dict[int, list[tuple[int, int, int]]] = {user: [] for user in listed}
            for some in slices(listed):
                for user, channel, joined, last in rows.all(
                        "SELECT m.user_id, m.channel_id, m.joined_seq, c.last_seq FROM memberships m "
                        f"JOIN channels c ON c.id = m.channel_id WHERE m.user_id IN ({marks(some)}) AND NOT c.deleted "
                        "ORDER BY m.user_id, m.channel_id", some):
                    found[user].append((channel, joined, last))
            return found

        return self._database.read(read)

    def heads(self, channels: Iterable[int]) -> dict[int, int]:
        """{channel: last_seq}; also of deleted ones, whose last events somebody may not have got."""
        listed = list(channels)

        def read(rows: Statements) -> dict[int, int]:
            return {row[0]: row[1] for some in slices(listed) for row in rows.all(
                f"SELECT id, last_seq FROM channels WHERE id IN ({marks(some)})", some)}

        return self._database.read(read)

    def joins_after(self, version: int) -> tuple[list[tuple[int, int, int, int]], int]:
        """([(version, channel, user, joined_seq)], newest version): memberships made since, that still last."""
        def read(rows: Statements) -> tuple[list[tuple[int, int, int, int]], int]:
            row = rows.one("SELECT value FROM meta WHERE name = 'membership_version'")
            newest = int(row[0]) if row else 0
            if newest <= version:
                return [], newest
            return [(row[0], row[1], row[2], row[3]) for row in rows.all(
                "SELECT version, channel_id, user_id, joined_seq FROM memberships WHERE version > ? ORDER BY version",
                (version,))], newest

        return self._database.read(read)

    def event_frames(self, channel: int, after: int, limit: int) -> list[Event]:
        """The events behind the seq `after`, ascending; whoever asks has checked who may see them."""
        return [event_of(*row) for row in self._database.read(lambda rows: event_rows(rows, channel, after, limit))]


def event_rows(rows: Statements, channel: int, after: int, limit: int) -> list[Row]:
    """What `event_of` and `event_frame` take."""
    return rows.all("SELECT channel_id, seq, kind, actor, data, at FROM events WHERE channel_id = ? AND seq > ? "
                    "ORDER BY seq LIMIT ?", (channel, after, limit))
