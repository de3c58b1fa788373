"""What a body wishes for a reshard, member by member; all that is wrong with it is said at once."""
from __future__ import annotations

import re
from typing import TypeGuard

from hotpath.core.errors import InvalidRow
from hotpath.shard.config import META_NAME, SHARD_NAME
from hotpath.shard.endpoint import Endpoint

MAX_WEIGHT = 1000
MAX_RATE = 1e9      # rows per second: no server has more


class Wish:
    """Each method reads one member, and notes what is wrong with it; `check` says it."""

    def __init__(self, body: object, known: tuple[str, ...]) -> None:
        """Raises InvalidRow: no object."""
        if not isinstance(body, dict):
            raise InvalidRow([{"path": "", "message": "the body is no object"}])
        self._members: dict[str, object] = body
        allowed = ", ".join(known) or "none"
        self._errors = [
            {"path": name.encode(errors="backslashreplace").decode(), "message": f"unknown; allowed: {allowed}"}
            for name in body if name not in known]

    def check(self) -> None:
        """Raises InvalidRow, if anything was wrong."""
        if self._errors:
            raise InvalidRow(self._errors)

    def name(self) -> str:
        """Of a shard that is to be."""
        value = self._members.get("name")
        if not isinstance(value, str) or re.fullmatch(SHARD_NAME, value) is None or value == META_NAME:
            self._wrong("name", "is missing" if value is None else f"{_shown(value)} is no name of a shard",
                        f"a-z, 0-9 and -, a letter first, up to 31, not {META_NAME}")
        return str(value)

    def weight(self) -> float:
        """1.0 by default."""
        value = self._members.get("weight", 1.0)
        if _is_number(value) and 0 < value <= MAX_WEIGHT:
            return float(value)
        self._wrong("weight", f"{_shown(value)} is not allowed", f"above 0, up to {MAX_WEIGHT}")
        return 1.0

    def dsn(self, backend: str) -> str | None:
        """None: the backend makes the server."""
        value = self._members.get("dsn")
        if backend != "dsn":
            if value is not None:
                self._wrong("dsn", f"goes with backend dsn, and this is {backend}", "none")
            return None
        try:
            if isinstance(value, str) and value.encode() and Endpoint.parse(value).kind == "mysql":
                return value
        except ValueError:
            pass
        # It is not shown: it may hold a password.
        self._wrong("dsn", "is missing" if value is None else "is no DSN", Endpoint.forms)
        return None

    def rate(self, *, required: bool = False) -> float | None:
        """Rows per second; None: as configured."""
        value = self._members.get("rate")
        if value is None and not required:
            return None
        if _is_number(value) and 0 <= value <= MAX_RATE:
            return float(value)
        self._wrong("rate", "is missing" if value is None else f"{_shown(value)} is not allowed",
                    "rows per second, 0 for no cap")
        return None

    def flag(self, name: str) -> bool | None:
        """None: as configured."""
        value = self._members.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(name, f"{_shown(value)} is not allowed", "true or false")
        return None

    def _wrong(self, path: str, what: str, allowed: str) -> None:
        self._errors.append({"path": path, "message": f"{what}; allowed: {allowed}"})


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
