from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from hotpath.core.serve import Response
from hotpath.ide.errors import NoRoom, Refusal, Stale
from hotpath.ide.web.routes import Routes


class Noted:
    """Stands for router, workspace and project: keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.handler: Any = None

    def add(self, _method: str, _path: str, handler: Any, **_more: object) -> None:
        self.handler = handler

    def get(self, _id: str) -> Noted:
        return self

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.mark.parametrize(("error", "status", "n_notices"), [
    (NoRoom("the project may hold 1 MiB"), 507, 1),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 507, 1),
    (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 507, 1),
    (Stale("others by now", None), 412, 0)])
def test_that_no_room_is_left_all_pages_of_the_project_hear(error: Refusal | OSError, status: int, n_notices: int):
    def save(_request: object, id: str) -> Response:
        raise error

    noted: Any = Noted()
    Routes(noted, noted, "").of_project("PUT", "/file", save)
    assert noted.handler(None, id="abcdefghijkl").status == status
    assert len(noted.notices) == n_notices
