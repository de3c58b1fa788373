"""Whatever is asked of it, a project's folder ends as plain `os` calls would leave a twin."""
from __future__ import annotations

import errno
import io
import os
import shutil
import stat

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hotpath.core.errors import HotpathError
from hotpath.ide.errors import (
    BadPath,
    Exists,
    IntoItself,
    NotAFile,
    NotAFolder,
    NotEmpty,
    NotFound,
    OutsideProject,
    Refusal,
    Stale,
)
from hotpath.ide.files.reading import etag_of
from tests.ide.files import places

# Few names, so that things meet: folders, files, links that stay, leave, loop and lead nowhere.
NAMES = ["a", "b", "l", "out", "ü"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
TARGETS = st.sampled_from(["a", "../a", "b/a", "..", ".", "../..", "/", "l", "nothing", "../../../canary"])
BODIES = st.binary(max_size=5)

# What the twin's errors mean to a client.
MEANS = {FileNotFoundError: (NotFound, Stale), NotADirectoryError: (NotAFolder, NotFound, NotAFile),
         FileExistsError: (Exists, Stale, NotAFile), IsADirectoryError: (NotAFile, Exists)}


class Twins(RuleBasedStateMachine):
    """The same to both."""

    def __init__(self, top):
        super().__init__()
        self.top = top
        self.place = places.place(top / "project")
        (top / "canary").write_bytes(b"canary")
        # As deep as files/, so that links which leave lead to the same.
        self.twin = top / "twin/files"
        self.twin.mkdir(parents=True)
        os.symlink("../canary", top / "twin/canary")
        os.symlink("../canary", top / "project/canary")

    def both(self, ours, plain):
        """Our refusal must be the meaning of the twin's error, and the other way round."""
        try:
            said = ours()
        except Refusal as error:
            if isinstance(error, OutsideProject | BadPath):
                return None         # plain os would leave the folder: the twin is not asked
            with pytest.raises(OSError) as caught:          # noqa: PT011
                plain()
            expected = MEANS.get(type(caught.value)) or {
                errno.ENOTEMPTY: NotEmpty, errno.EINVAL: IntoItself, errno.ELOOP: (NotFound, Exists, Stale)
            }[caught.value.errno]
            if not isinstance(error, expected):
                raise AssertionError(f"{error!r} where plain os says {caught.value!r}") from error
            return None
        plain()
        return said

    def leaves(self, path):
        """Whether plain os would leave the twin there."""
        real = os.path.realpath(self.twin / path)
        return not (real + "/").startswith(str(self.twin) + "/")

    @rule(path=PATHS, body=BODIES)
    def create(self, path, body):
        def plain():
            with open(self.twin / path, "xb") as file:
                file.write(body)

        said = self.both(lambda: self.place.files.put(path.encode(), body, match=None, create=True), plain)
        assert said in (None, (True, etag_of(body)))

    @rule(path=PATHS, body=BODIES)
    def replace(self, path, body):
        def plain():
            fd = os.open(self.twin / path, os.O_WRONLY | os.O_TRUNC)
            with open(fd, "wb") as file:
                file.write(body)

        self.both(lambda: self.place.files.put(path.encode(), body, match="*", create=False), plain)

    @rule(path=PATHS)
    def read(self, path):
        def ours():
            return places.content(self.place.files.open(path.encode()))

        def plain():
            return (self.twin / path).read_bytes()

        said = self.both(ours, plain)
        assert said is None or said == plain()

    @rule(path=PATHS)
    def make_dir(self, path):
        self.both(lambda: self.place.files.make_dir(path.encode()), lambda: (self.twin / path).mkdir())

    @rule(path=PATHS)
    def delete(self, path):
        def plain():
            if stat.S_ISDIR(os.lstat(self.twin / path).st_mode):
                os.rmdir(self.twin / path)
            else:
                os.unlink(self.twin / path)

        self.both(lambda: self.place.files.delete(path.encode()), plain)

    @rule(path=PATHS)
    def delete_all(self, path):
        def plain():
            if stat.S_ISDIR(os.lstat(self.twin / path).st_mode):
                shutil.rmtree(self.twin / path)
            else:
                os.unlink(self.twin / path)

        self.both(lambda: self.place.files.delete(path.encode(), recursive=True), plain)

    @rule(source=PATHS, to=PATHS)
    def move(self, source, to):
        def plain():
            self.check_way(source, to)
            os.rename(self.twin / source, self.twin / to)

        self.both(lambda: self.place.files.move(source.encode(), to.encode()), plain)

    def check_way(self, source, to):
        """What plain os would not refuse, or not in this order."""
        os.lstat(self.twin / source)
        os.stat((self.twin / to).parent)
        if (self.twin / to).parent.is_file():
            raise NotADirectoryError
        if (os.path.realpath((self.twin / to).parent) + "/").startswith(self.real(source) + "/"):
            raise OSError(errno.EINVAL, "into itself")
        if os.path.lexists(self.twin / to):
            raise FileExistsError

    def real(self, path):
        """Of the thing itself, if it is a link too; nothing lies in what is no folder."""
        path = self.twin / path
        if path.is_symlink() or not path.is_dir():
            return "\0"
        return os.path.realpath(path)

    @rule(source=PATHS, to=PATHS)
    def copy(self, source, to):
        def plain():
            self.check_way(source, to)
            if (self.twin / source).is_dir() and not (self.twin / source).is_symlink():
                shutil.copytree(self.twin / source, self.twin / to, symlinks=True)
            else:
                shutil.copy(self.twin / source, self.twin / to, follow_symlinks=False)

        self.both(lambda: self.place.files.copy(source.encode(), to.encode()), plain)

    @rule(path=PATHS, leads=TARGETS)
    def link(self, path, leads):
        if self.leaves(path) or not os.path.isdir((self.twin / path).parent) or os.path.lexists(self.twin / path):
            return
        os.symlink(leads, self.twin / path)
        os.symlink(leads, self.place.root / path)

    @rule()
    def zip_and_unzip(self):
        data = b"".join(self.place.files.zip(b""))
        self.place.files.unzip(b"", io.BytesIO(data))

    @rule(path=PATHS)
    def listing(self, path):
        try:
            found = {entry["name"]: entry["kind"] for entry in self.place.files.listing(path.encode())["entries"]}
        except HotpathError:
            return
        assert found == {one.name: "link" if one.is_symlink() else "dir" if one.is_dir() else "file"
                         for one in os.scandir(self.twin / path)}

    @invariant()
    def are_the_same(self):
        assert places.tree(self.place.root) == places.tree(self.twin)
        assert (self.top / "canary").read_bytes() == b"canary"
        assert sorted(os.listdir(self.top)) == ["canary", "project", "twin"]
        assert self.place.leftovers == []

    def teardown(self):
        self.place.files.close()


def test_both_end_the_same(tmp_path_factory):
    run_state_machine_as_test(lambda: Twins(tmp_path_factory.mktemp("twins")),
                              settings=settings(max_examples=40, stateful_step_count=20, deadline=None,
                                                report_multiple_bugs=False))


def test_what_comes_after_the_end_of_a_project_does_not_meet_the_next_one(tmp_path):
    one = places.place(tmp_path / "one")
    places.made(one, b"f", b"1")
    one.files.close()
    other = places.place(tmp_path / "other")        # its descriptors have the numbers that are free now
    for late in (lambda: one.files.put(b"x", b"late", match=None, create=True),
                 lambda: one.files.unzip(b"", io.BytesIO()),
                 lambda: one.files.make_dir(b"d"),
                 lambda: one.files.delete(b"f"),
                 lambda: one.files.open(b"f")):
        with pytest.raises(NotFound):
            late()
    assert places.tree(other.root) == {}
    assert places.tree(one.root) == {"f": b"1"}
    other.files.close()


def test_what_goes_on_at_the_end_of_a_project_ends_there(tmp_path):
    others = []

    def room(n_bytes, files):
        if n_bytes > 0 and not others:
            one.files.close()                       # in the middle of the save
            others.append(places.place(tmp_path / "other"))

    one = places.place(tmp_path / "one", room=room)
    open_before = len(os.listdir("/proc/self/fd"))
    one.files.put(b"x", b"1", match=None, create=True)
    assert places.tree(one.root) == {"x": b"1"}
    assert places.tree(others[0].root) == {}
    assert len(os.listdir("/proc/self/fd")) == open_before      # three closed, three opened
    others[0].files.close()
