from __future__ import annotations

import errno
import os

import pytest

from hotpath.core.serve import Response
from hotpath.ide.errors import NotFound
from hotpath.ide.web.problems import refusing
from tests.ide.paths import public_folder
from tests.ide.servers import serving, written


def test_a_full_disk_is_no_fault_of_ours():
    def full() -> Response:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    answer = refusing(full)()
    assert answer.status == 507
    assert b'"code":"no-room"' in bytes(answer.body)     # type: ignore[call-overload]


def test_other_errors_are_for_the_log():
    def broken() -> Response:
        raise OSError(errno.EIO, "x")

    with pytest.raises(OSError, match="x"):
        refusing(broken)()


def test_members_stand_beside_the_code():
    def lost() -> Response:
        raise NotFound("gone", headers=(("X-Y", "z"),), entry="e")

    answer = refusing(lost)()
    assert ("X-Y", "z") in answer.headers
    assert b'"entry":"e"' in bytes(answer.body)     # type: ignore[call-overload]


def test_a_dead_engine_is_told_and_files_stay_editable():
    with public_folder() as folder:
        file = written(folder, "docker", sandbox={"docker_host": f"unix://{folder}/nothing.sock"})
        with serving(file) as ide:
            templates = ide.right(200, "GET", "/api/templates")["templates"]
            assert not any(one["available"] for one in templates)
            assert all(one["missing"] for one in templates)
            made = ide.create("without", "web")
            assert made["state"] == "failed"
            assert made["error"]
            path = f"/api/projects/{made['id']}"
            said = ide.right(503, "POST", f"{path}/start")
            assert said["code"] == "sandbox-failed"
            assert said["detail"] == ide.right(200, "GET", path)["error"]
            assert ide.right(409, "POST", f"{path}/terminals")["code"] == "not-running"
            assert ide.put(made["id"], "new.txt", b"still").status == 201
            assert ide.right(200, "POST", f"{path}/stop")["state"] == "stopped"
            assert ide.ask("DELETE", f"{path}?purge=1").status == 204
