"""Clusters that are up."""
import pytest

from .clusters import Place


@pytest.fixture
def place(tmp_path, capsys):
    """A configuration."""
    return Place(tmp_path, capsys)


@pytest.fixture
def up(place):
    """A cluster of two shards, with rows."""
    assert place.run("up").status == 0
    place.fill()
    return place


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Of the one below."""
    return tmp_path_factory.mktemp("standing")


@pytest.fixture
def standing(folder, capsys):
    """A cluster of two shards, with rows, that every test leaves as it is."""
    place = Place(folder, capsys)
    if not place.data.exists():
        assert place.run("up").status == 0
        place.fill()
    return place
