"""A program swaps folders and files for links and pipes while we work: nothing outside is read or written."""
import io
import os
import stat
import threading
import time
import zipfile
from collections import Counter
from contextlib import suppress

import pytest

from hotpath.ide.errors import OutsideProject, Refusal
from hotpath.ide.files.kernel import exchange
from tests.ide.files import places
from tests.ide.files.hostile import honest
from tests.ide.files.places import content
from tests.waiting import DEADLINE_S

SECRET = b"secret"
ROUNDS = 30             # at least; more, until both outcomes were seen


class Swapper:
    """Exchanges two names as fast as it can, and makes again what was deleted."""

    def __init__(self, root, make):
        self.root, self.make = root, make
        self.fd = os.open(root, os.O_RDONLY)
        self.swaps = 0
        self.stopping = threading.Event()
        make()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            try:
                exchange(self.fd, b"s", self.fd, b"swap")
                self.swaps += 1
            except FileNotFoundError:
                with suppress(FileExistsError, FileNotFoundError):
                    self.make()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        os.close(self.fd)


@pytest.fixture
def outside(tmp_path):
    top = tmp_path / "outside"
    (top / "d").mkdir(parents=True)
    for name in ("f", "g", "d/f"):
        (top / name).write_bytes(SECRET)
    return top


def snapshot(top):
    """What was there, and that nobody touched it; when it was read does not matter."""
    found = {}
    for above, folders, names in os.walk(top):
        for path in [above, *(os.path.join(above, name) for name in [*folders, *names])]:
            status = os.lstat(path)
            found[path] = (status.st_ino, status.st_mode, status.st_uid, status.st_nlink, status.st_size,
                           status.st_mtime_ns, status.st_ctime_ns)
    return found


FOLDER_ACTS = {
    "put": lambda files, i: files.put(b"s/f", b"%d" % i, match="*", create=False),
    "create": lambda files, i: files.put(b"s/new%d" % i, b"", match=None, create=True),
    "create with parents": lambda files, i: files.put(b"s/p%d/q/r" % i, b"", match=None, create=True, parents=True),
    "make_dir": lambda files, i: files.make_dir(b"s/dir%d" % i),
    "delete": lambda files, i: files.delete(b"s/f"),
    "delete a folder": lambda files, i: files.delete(b"s/d", recursive=True),
    "delete it all": lambda files, i: files.delete(b"s", recursive=True),
    "move out": lambda files, i: files.move(b"s/f", b"moved%d" % i),
    "move in": lambda files, i: files.move(b"mine", b"s/f", overwrite=True),
    "move within": lambda files, i: files.move(b"s/d", b"s/e%d" % i),
    "copy in": lambda files, i: files.copy(b"mine", b"s/f", overwrite=True),
    "copy out": lambda files, i: files.copy(b"s/d", b"copied%d" % i),
    "open": lambda files, i: content(files.open(b"s/f")),
    "listing": lambda files, i: files.listing(b"s", 3),
    "zip": lambda files, i: b"".join(files.zip(b"s")),
    "unzip": lambda files, i: files.unzip(b"s", honest({"f": b"1", "d/f": b"2", f"n{i}/x": b"3"})),
    "history": lambda files, i: files.history(b"s/f"),
}


def tried(act, files, swapper, outcomes, ways):
    """Try it, while names are swapped, until it went so many ways, to its end being one of them."""
    deadline = time.monotonic() + DEADLINE_S
    i = 0
    while i < ROUNDS or ((not swapper.swaps or not outcomes["done"] or len(outcomes) < ways)
                         and time.monotonic() < deadline):
        i += 1
        with suppress(FileExistsError, FileNotFoundError):
            swapper.make()
        try:
            said = act(files, i)
            outcomes["done"] += 1
            yield said
        except OutsideProject:
            outcomes["outside"] += 1
        except Refusal as error:
            outcomes[error.code] += 1


@pytest.mark.parametrize("name", FOLDER_ACTS)
def test_a_folder_that_is_swapped_for_a_link_out(place, outside, name):
    (place.root / "mine").write_bytes(b"mine")

    def make():
        for one in ("s", "swap"):
            if not os.path.lexists(place.root / one):
                if any((place.root / other).is_symlink() for other in ("s", "swap")):
                    (place.root / one).mkdir()
                else:
                    os.symlink(outside, place.root / one)
        for one in ("s", "swap"):
            folder = place.root / one
            # Through a descriptor: this is the program, which must not be the one that leaves.
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) if not folder.is_symlink() else -1
            if fd >= 0:
                with suppress(FileExistsError):
                    os.mkdir("d", dir_fd=fd)
                for path in ("f", "d/f"):
                    with suppress(OSError), open(os.open(path, os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
                        file.write(b"inner")
                os.close(fd)

    def safely():
        with suppress(OSError):
            make()

    before = snapshot(outside)
    outcomes = Counter()
    ways = 1 if name == "delete it all" else 2      # a link can be deleted too
    with Swapper(place.root, safely) as swapper:
        for said in tried(FOLDER_ACTS[name], place.files, swapper, outcomes, ways):
            if isinstance(said, bytes):
                assert SECRET not in said
                if name == "zip":
                    archive = zipfile.ZipFile(io.BytesIO(said))
                    assert all(archive.read(one) != SECRET for one in archive.namelist())
            if isinstance(said, dict) and "entries" in said:
                assert all(entry["name"] != "g" for entry in said["entries"])
            if name == "move in":
                (place.root / "mine").write_bytes(b"mine")
    assert snapshot(outside) == before
    assert swapper.swaps > 0
    assert outcomes["done"] > 0
    assert len(outcomes) >= ways, outcomes
    for path in places.tree(place.root).values():
        assert path != SECRET


FILE_ACTS = {
    "put": lambda files, i: files.put(b"s", b"%d" % i, match="*", create=False),
    "delete": lambda files, i: files.delete(b"s"),
    "delete what was seen": lambda files, i: files.delete(b"s", match="*"),
    "open": lambda files, i: content(files.open(b"s")),
    "copy": lambda files, i: files.copy(b"s", b"copied%d" % i),
    "move over": lambda files, i: files.move(b"mine", b"s", overwrite=True),
    "zip": lambda files, i: b"".join(files.zip(b"")),
    "unzip": lambda files, i: files.unzip(b"", honest({"s": b"1"})),
}


@pytest.mark.parametrize("other", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", FILE_ACTS)
def test_a_file_that_is_swapped_for_something_else(place, outside, name, other):
    def make():
        paths = place.root / "s", place.root / "swap"
        for one in paths:
            if os.path.lexists(one):
                continue
            if any(os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode) for path in paths):
                # Only a new one: the other thread may just have made a pipe there, and a writer waits for its reader.
                with one.open("xb") as file:
                    file.write(b"inner")
            elif other == "link":
                os.symlink(outside / "f", one)
            elif other == "pipe":
                os.mkfifo(one)
            else:
                one.mkdir()

    def safely():
        (place.root / "mine").touch()
        with suppress(OSError):
            make()

    before = snapshot(outside)
    outcomes = Counter()
    with Swapper(place.root, safely) as swapper:
        for said in tried(FILE_ACTS[name], place.files, swapper, outcomes, 1):
            assert said != SECRET
    assert snapshot(outside) == before
    assert swapper.swaps > 0
    assert outcomes["done"] > 0, outcomes
    assert SECRET not in places_of(place)


def places_of(place):
    """Contents of all files that are none of others'; pipes are not waited for."""
    return [path.read_bytes() for path in place.folder.rglob("*") if path.is_file() and not path.is_symlink()]
