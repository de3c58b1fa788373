"""A data directory is one house's at a time, and keeps its name."""
import os

import pytest

from hotpath import home as homes
from hotpath.core.config import Section, load
from hotpath.home import CannotStart, taken
from tests.ide.paths import public_folder


class Kept(Section, frozen=True):
    """What is written here."""

    password: str
    listen: tuple[str, ...]
    off: str


def test_it_is_made_and_keeps_its_id(tmp_path):
    with taken(tmp_path / "a" / "b") as home:
        first = home.id
    with taken(tmp_path / "a" / "b") as home:
        assert home.id == first
    with taken(tmp_path / "c") as other:
        assert other.id != first


def test_two_cannot_have_it_at_once(tmp_path):
    with taken(tmp_path), pytest.raises(CannotStart, match="in use by another hotpath up"), taken(tmp_path):
        pass
    with taken(tmp_path):
        pass


def test_a_configuration_is_read_back_as_it_was_and_by_nobody_else(tmp_path):
    with taken(tmp_path) as home:
        given = {"password": "a${b}: #", "listen": ("127.0.0.1:1", "unix:/x"), "off": "off"}
        path = home.write_config("part", given)
        assert path.stat().st_mode & 0o777 == 0o600
        assert load(path, Kept) == Kept("a${b}: #", ("127.0.0.1:1", "unix:/x"), "off")


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"--data: .*file cannot be used"), taken(tmp_path / "file"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: who else runs programs as somebody else?")
def test_what_others_must_reach_is_outside_where_only_its_owner_may_enter(monkeypatch):
    with public_folder() as folder:
        monkeypatch.setattr(homes, "OUTSIDE", folder / "outside")
        with taken(folder / "closed" / "data") as home:
            (folder / "closed").chmod(0o700)
            real = home.passable("ide")
            assert real == folder / "outside" / f"{home.id}-ide"
            (real / "kept").touch()
            # And for as long as the data live, whatever may be entered by then.
            (folder / "closed").chmod(0o755)
            assert home.passable("ide") == real
            assert (home.folder / "ide" / "kept").exists()
        with taken(folder / "open") as home:
            assert home.passable("ide") == folder / "open" / "ide"
            assert not (home.folder / "ide").is_symlink()
