"""The times of files, as they are told: RFC 3339, UTC."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(ns: int) -> str:
    """The time `ns` nanoseconds after 1970; a program may have set any, so what no calendar has becomes the nearest."""
    try:
        at = EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        at = datetime.max.replace(tzinfo=UTC) if ns > 0 else datetime.min.replace(tzinfo=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
