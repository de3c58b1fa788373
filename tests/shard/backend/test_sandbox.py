import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from hotpath.shard.backend import sandbox
from hotpath.shard.backend.errors import CannotStart
from hotpath.shard.backend.sandbox import Sandbox

ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name


def who_and_where(box: Sandbox, folder: Path) -> list[str]:
    """What a command says that runs there, having written a file."""
    words = box.command(folder, lambda seen: ["sh", "-c", 'cd "$1" && touch was && id -u && pwd', "sh", str(seen)])
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_a_command_runs_as_the_servers_user_in_a_directory_of_its_own():
    box = Sandbox("auto")
    with tempfile.TemporaryDirectory(dir="/tmp") as above:
        folder = Path(above, "data")
        folder.mkdir()
        box.own(folder)
        Path(above).chmod(0o755)
        assert who_and_where(box, folder) == [str(box.uid), str(folder)]
        assert (folder / "was").stat().st_uid == box.uid
    assert not ROOT or box.uid != 0


def test_a_directory_that_only_root_can_enter_is_shown_to_it_elsewhere(tmp_path):
    box = Sandbox("auto")
    tmp_path.chmod(0o700)
    folder = tmp_path / "data"
    folder.mkdir()
    box.own(folder)
    uid, where = who_and_where(box, folder)
    assert (int(uid), where) == (box.uid, "/mnt" if ROOT else str(folder))
    assert (folder / "was").exists()
    # Nobody else sees it there.
    assert not Path("/mnt/was").exists()


def test_one_that_cannot_be_shown_names_what_is_closed(tmp_path, monkeypatch):
    box = Sandbox("auto")
    tmp_path.chmod(0o700)
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(sandbox, "STAND_IN", tmp_path / "nowhere")
    if not ROOT:
        assert who_and_where(box, folder) == [str(box.uid), str(folder)]
        return
    box.own(folder)
    with pytest.raises(CannotStart, match=r"cannot be entered by .*chmod o\+x"):
        box.command(folder, lambda seen: ["true"])


def test_a_user_that_does_not_exist_is_refused():
    with pytest.raises(CannotStart, match=r"process.user: there is no user no-such-user"):
        Sandbox("no-such-user")


def test_root_is_refused():
    with pytest.raises(CannotStart, match="a server does not run as root" if ROOT else "only root can"):
        Sandbox("root")


def test_whoever_is_not_root_is_nobody_else(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert Sandbox("auto").uid == 12345
    with pytest.raises(CannotStart, match="only root can start servers as nobody"):
        Sandbox("nobody")
