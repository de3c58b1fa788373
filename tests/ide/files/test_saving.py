"""A save replaces exactly what its writer saw, in one step."""
import os
import stat

import pytest

from hotpath.ide.errors import (
    BadPath,
    ConditionRequired,
    Exists,
    NoRoom,
    NotAFile,
    NotAFolder,
    NotFound,
    OutsideProject,
    Stale,
    TooLarge,
)
from hotpath.ide.files import saving
from hotpath.ide.files.kernel import exchange
from hotpath.ide.files.reading import etag_of
from tests.ide.files import places
from tests.ide.files.places import made, versions


def replace(place, path, body, match):
    return place.files.put(path, body, match=match, create=False)


def test_a_new_file_is_made_once(place):
    assert place.files.put(b"f", b"one", match=None, create=True) == (True, etag_of(b"one"))
    assert (place.root / "f").read_bytes() == b"one"
    with pytest.raises(Stale) as caught:
        place.files.put(b"f", b"two", match=None, create=True)
    assert caught.value.etag == etag_of(b"one")
    assert (place.root / "f").read_bytes() == b"one"


def test_a_file_is_replaced_if_it_is_what_was_seen(place):
    etag = made(place, b"f", b"one")
    assert replace(place, b"f", b"two", etag) == (False, etag_of(b"two"))
    with pytest.raises(Stale) as caught:
        replace(place, b"f", b"three", etag)
    assert caught.value.etag == etag_of(b"two")
    assert (place.root / "f").read_bytes() == b"two"


def test_any_content_is_replaced_when_the_writer_says_so(place):
    made(place, b"f", b"one")
    assert replace(place, b"f", b"two", "*") == (False, etag_of(b"two"))


def test_without_a_condition_nothing_is_written(place):
    with pytest.raises(ConditionRequired):
        place.files.put(b"f", b"", match=None, create=False)
    assert places.tree(place.root) == {}


def test_the_same_content_again_changes_nothing(place):
    etag = made(place, b"f", b"one")
    before = (place.root / "f").stat()
    assert replace(place, b"f", b"one", etag) == (False, etag)
    assert (place.root / "f").stat().st_ino == before.st_ino


def test_a_file_that_is_gone_is_stale(place):
    with pytest.raises(Stale) as caught:
        replace(place, b"f", b"one", "*")
    assert caught.value.etag is None


def test_the_folder_must_exist_unless_parents_are_made(place):
    with pytest.raises(NotFound):
        place.files.put(b"a/b/f", b"one", match=None, create=True)
    place.files.put(b"a/b/f", b"one", match=None, create=True, parents=True)
    place.files.put(b"a/b/g", b"two", match=None, create=True, parents=True)
    assert places.tree(place.root) == {"a": None, "a/b": None, "a/b/f": b"one", "a/b/g": b"two"}
    with pytest.raises(NotAFolder):
        place.files.put(b"a/b/f/x", b"", match=None, create=True, parents=True)


def test_what_is_no_file_is_left_alone(place):
    (place.root / "d").mkdir()
    os.mkfifo(place.root / "pipe")
    for path in (b"d", b"pipe"):
        with pytest.raises(NotAFile):
            replace(place, path, b"", "*")
        with pytest.raises(NotAFile):
            place.files.put(path, b"", match=None, create=True)
    with pytest.raises(BadPath):
        place.files.put(b"", b"", match="*", create=False)


def test_mode_is_kept_but_no_set_uid(place):
    made(place, b"f", b"one")
    os.chmod(place.root / "f", 0o4751)
    replace(place, b"f", b"two", "*")
    assert stat.S_IMODE((place.root / "f").stat().st_mode) == 0o751


def test_a_new_file_can_be_read_by_all(place):
    made(place, b"a/f", b"one")
    assert stat.S_IMODE((place.root / "a/f").stat().st_mode) == 0o644
    assert stat.S_IMODE((place.root / "a").stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, who alone gives files away")
def test_what_is_made_belongs_to_the_owner_and_what_is_replaced_to_who_had_it(tmp_path):
    place = places.place(tmp_path, owner=(1234, 4321))
    made(place, b"a/b/f", b"one")
    place.files.copy(b"a", b"c")
    for path in ("", "a", "a/b", "a/b/f", "c", "c/b", "c/b/f"):
        status = (place.root / path).stat()
        assert (status.st_uid, status.st_gid) == (1234, 4321), path
    os.chown(place.root / "a/b/f", 1, 2)
    replace(place, b"a/b/f", b"two", "*")
    status = (place.root / "a/b/f").stat()
    assert (status.st_uid, status.st_gid) == (1, 2)
    place.files.close()


def test_too_large_a_body_is_refused(tmp_path):
    place = places.place(tmp_path, limits=places.SMALL)
    with pytest.raises(TooLarge):
        made(place, b"f", bytes(4097))
    made(place, b"f", bytes(4096))
    place.files.close()


def test_the_budget_is_asked_before_anything_is_written(tmp_path):
    place = places.place(tmp_path, room=(room := places.Room(10, 2)))
    etag = made(place, b"f", b"12345678")
    with pytest.raises(NoRoom):
        made(place, b"g", b"123")
    with pytest.raises(NoRoom):
        replace(place, b"f", b"12345678901", etag)
    assert places.tree(place.root) == {"f": b"12345678"}
    replace(place, b"f", b"1", etag)
    assert room.used == [1, 1]
    made(place, b"g", b"")
    with pytest.raises(NoRoom):
        made(place, b"h", b"")
    with pytest.raises(Stale):
        place.files.put(b"g", b"xx", match=None, create=True)
    assert room.used == [1, 2]
    place.files.close()


# ---- links

def test_an_inner_link_has_its_target_written(place):
    (place.root / "a/b").mkdir(parents=True)
    etag = made(place, b"a/f", b"one")
    os.symlink("a/b/../f", place.root / "l")
    os.symlink("l", place.root / "m")
    os.symlink("../../m", place.root / "a/b/n")
    for path, body in ((b"l", b"two"), (b"m", b"three"), (b"a/b/n", b"four")):
        etag = replace(place, path, body, etag)[1]
        assert (place.root / "a/f").read_bytes() == body
    assert all((place.root / path).is_symlink() for path in ("l", "m", "a/b/n"))
    assert versions(place, b"m") == versions(place, b"a/f") == [b"three", b"two", b"one"]


def test_a_link_on_the_way_is_followed(place):
    etag = made(place, b"a/f", b"one")
    os.symlink("a", place.root / "l")
    replace(place, b"l/f", b"two", etag)
    made(place, b"l/g", b"new")
    assert (place.root / "a/f").read_bytes() == b"two"
    assert (place.root / "a/g").read_bytes() == b"new"
    assert versions(place, b"a/f") == [b"one"]


def test_a_link_that_leads_out_is_refused(place, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink("../../secret", place.root / "l")
    os.symlink(tmp_path / "secret", place.root / "m")
    os.symlink("m", place.root / "n")
    os.symlink(tmp_path, place.root / "d")
    for path in (b"l", b"m", b"n", b"d/secret"):
        for create in (True, False):
            with pytest.raises(OutsideProject):
                place.files.put(path, b"x", match=None if create else "*", create=create)
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_link_that_leads_nowhere_is_not_written_through(place):
    os.symlink("nothing", place.root / "l")
    os.symlink("loop", place.root / "loop")
    os.symlink(".", place.root / "here")
    for path in (b"l", b"loop"):
        with pytest.raises(Exists):
            place.files.put(path, b"", match=None, create=True)
        with pytest.raises(Stale):
            replace(place, path, b"", "*")
    with pytest.raises(NotAFile):
        replace(place, b"here", b"", "*")
    assert not os.path.lexists(place.root / "nothing")


def test_a_second_name_of_the_file_keeps_the_old_content(place):
    etag = made(place, b"f", b"one")
    os.link(place.root / "f", place.root / "g")
    replace(place, b"f", b"two", etag)
    assert (place.root / "g").read_bytes() == b"one"
    (place.root / "g").write_bytes(b"other")
    assert versions(place, b"f") == [b"one"]


# ---- programs that write at the very moment

class Moment:
    """Lets a program act just before the exchange, or just before the exchange back."""

    def __init__(self, monkeypatch, *acts):
        self.acts = list(acts)
        monkeypatch.setattr(saving, "exchange", self)

    def __call__(self, *args):
        if self.acts:
            self.acts.pop(0)()
        exchange(*args)


def rewrite(path, body):
    def act():
        path.with_name("fresh").write_bytes(body)
        os.replace(path.with_name("fresh"), path)
    return act


def test_a_program_that_wrote_until_the_exchange_wins(place, monkeypatch):
    etag = made(place, b"f", b"one")
    for act, body in ((rewrite(place.root / "f", b"program"), b"program"),
                      (lambda: (place.root / "f").write_bytes(b"in place"), b"in place")):
        Moment(monkeypatch, act)
        with pytest.raises(Stale) as caught:
            replace(place, b"f", b"mine", etag)
        assert caught.value.etag == etag_of(body)
        assert (place.root / "f").read_bytes() == body
        etag = caught.value.etag
    assert b"mine" not in versions(place, b"f")


def test_the_newest_of_two_programs_wins(place, monkeypatch):
    etag = made(place, b"f", b"one")
    Moment(monkeypatch, rewrite(place.root / "f", b"first"), rewrite(place.root / "f", b"second"))
    with pytest.raises(Stale):
        replace(place, b"f", b"mine", etag)
    assert (place.root / "f").read_bytes() == b"second"
    assert b"first" in versions(place, b"f")


def test_what_a_program_wrote_into_the_new_file_before_it_went_back_is_kept(place, monkeypatch):
    etag = made(place, b"f", b"one")
    Moment(monkeypatch, rewrite(place.root / "f", b"first"), lambda: (place.root / "f").write_bytes(b"appended"))
    with pytest.raises(Stale):
        replace(place, b"f", b"mine", etag)
    assert (place.root / "f").read_bytes() == b"first"
    assert b"appended" in versions(place, b"f")


def test_a_file_that_is_removed_meanwhile_stays_removed(place, monkeypatch):
    etag = made(place, b"f", b"one")
    Moment(monkeypatch, (place.root / "f").unlink)
    with pytest.raises(Stale):
        replace(place, b"f", b"mine", etag)
    assert places.tree(place.root) == {}
    etag = made(place, b"f", b"one")
    Moment(monkeypatch, rewrite(place.root / "f", b"first"), (place.root / "f").unlink)
    with pytest.raises(Stale):
        replace(place, b"f", b"mine", etag)
    assert places.tree(place.root) == {}
    assert b"first" in versions(place, b"f")


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_file_that_becomes_something_else_meanwhile_is_given_back(place, monkeypatch, tmp_path, kind):
    (tmp_path / "secret").write_bytes(b"secret")
    etag = made(place, b"f", b"one")

    def become():
        (place.root / "f").unlink()
        if kind == "folder":
            (place.root / "f").mkdir()
            (place.root / "f/inner").write_bytes(b"inner")
        elif kind == "pipe":
            os.mkfifo(place.root / "f")
        else:
            os.symlink("../../secret", place.root / "f")

    Moment(monkeypatch, become)
    with pytest.raises(NotAFile):
        replace(place, b"f", b"mine", etag)
    status = os.lstat(place.root / "f")
    assert {"folder": stat.S_ISDIR, "pipe": stat.S_ISFIFO, "link": stat.S_ISLNK}[kind](status.st_mode)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    # And once more, when the name is gone by the time it goes back.
    if kind == "folder":
        (place.root / "f/inner").unlink()
        (place.root / "f").rmdir()
        etag = made(place, b"f", b"one")
        Moment(monkeypatch, become, (place.root / "f").unlink)
        with pytest.raises(NotAFile):
            replace(place, b"f", b"mine", etag)
        assert (place.root / "f/inner").read_bytes() == b"inner"


def test_a_folder_whose_place_is_taken_again_and_again_ends_beside_it(place, monkeypatch):
    monkeypatch.setattr(saving, "TURNS", 1)
    etag = made(place, b"f", b"one")

    def become(name):
        def act():
            path = place.root / "f"
            if path.exists():
                path.unlink()
            path.mkdir()
            (path / name).touch()
        return act

    Moment(monkeypatch, become("first"), become("second"))
    with pytest.raises(NotAFile):
        replace(place, b"f", b"mine", etag)
    assert sorted(path.name for path in place.root.rglob("*") if path.is_file()) == ["first", "second"]
    assert (place.root / "f/first").exists()


def test_a_name_taken_at_the_very_moment_is_not_replaced(place, monkeypatch):
    real = saving.rename_new

    def taken(*args):
        (place.root / "f").write_bytes(b"program")
        real(*args)

    monkeypatch.setattr(saving, "rename_new", taken)
    with pytest.raises(Stale) as caught:
        made(place, b"f", b"mine")
    assert caught.value.etag == etag_of(b"program")
    assert (place.root / "f").read_bytes() == b"program"


# ---- odd names, deep paths

def test_any_name_that_the_file_system_takes_can_be_saved(place):
    for name in (b"\xff\xfe", b"x" * 255, "ü 日本".encode(), b"a\\b", b"%41", b"-rf", b"*?"):
        etag = made(place, name, b"one")
        replace(place, name, b"two", etag)
        assert places.content(place.files.open(name)) == b"two"
        assert versions(place, name) == [b"one"]
    with pytest.raises(BadPath):
        made(place, b"a\nb", b"")


def test_a_name_that_a_program_gave_can_be_saved_whatever_is_in_it(place):
    (place.root / "a\nb").write_bytes(b"one")
    replace(place, b"a\nb", b"two", "*")
    assert (place.root / "a\nb").read_bytes() == b"two"


def test_the_deepest_path_can_be_made_saved_copied_and_removed(place):
    path = b"/".join([b"d", *[b"twelve bytes"] * 314]) + b"/" + b"f" * 11
    assert len(path) == 4095
    etag = made(place, path, b"one")
    replace(place, path, b"two", etag)
    assert versions(place, path) == [b"one"]
    with pytest.raises(BadPath):
        place.files.put(path + b"x", b"", match=None, create=True)
    place.files.copy(b"d", b"e")
    assert places.content(place.files.open(b"e" + path[1:])) == b"two"
    place.files.delete(b"d", recursive=True)
    place.files.delete(b"e", recursive=True)
    assert os.listdir(place.root) == []


