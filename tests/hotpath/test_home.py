"""A data directory is one house's at a time, and keeps its name."""
import pytest

from hotpath.core.config import Section, load
from hotpath.home import CannotStart, taken


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
