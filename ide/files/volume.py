"""A project's folder on the disk: files/, which its programs see, and tmp/ beside it, which they do not.

What we write is finished in tmp/ and then put into place by one rename; what that displaces comes out in tmp/ too. An
entry X of tmp/ beside which the link `X.path` stands may be such a displaced one: the link's target is the path it
came from, so that after `kill -9` the next start can put its content into the history. A save, which must be quick,
puts the KEY of its path in the history before the name instead: KEY-X. Anything else is half written, or ours alone,
and is swept.
"""
from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from hotpath.ide.errors import BadPath, Exists, NotAFile, NotFound, OutsideProject

from .confine import check_kernel, opened, refused, resolve
from .kernel import rename_new
from .paths import check_new_name, joined, shown, split
from .reading import write_all
from .sweeping import new_name, remove_tree

log = logging.getLogger(__name__)

FILE_MODE = 0o644
FOLDER_MODE = 0o755
PERMISSIONS = 0o777             # set-uid and its like are not carried over to contents that others wrote
ARMED = b".path"
HERE = b"."                     # the project's folder: no link has an empty target

# Two paths seldom share one of these, and then one waits for the other's fsync.
N_LOCKS = 64
MAX_LINKS = 40                  # on the way to one file; the kernel's own limit
MAX_TARGET_BYTES = 4096

Identity = tuple[int, int]      # device and inode


def identity(status: os.stat_result) -> Identity:
    """What tells one file from any other that exists now."""
    return status.st_dev, status.st_ino


class Spot:
    """A name in a folder that is held open: wherever the folder's path leads by now, this is where we work."""

    def __init__(self, folder: int, name: bytes, path: bytes) -> None:
        """Takes `folder` over. `path`: from the project's folder, without links before the last name."""
        self.folder = folder
        self.name = name
        self.path = path

    def look(self) -> os.stat_result | None:
        """What stands there, itself; None: nothing. Raises NotAllowed."""
        with refused(self.path):
            try:
                return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def open(self) -> int:
        """A descriptor for reading of what stands there; never through a link. OSError."""
        return opened(self.folder, self.name, links=False)

    def sync(self) -> None:
        """Return when the names in its folder are on the disk."""
        os.fsync(self.folder)

    def __enter__(self) -> Spot:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.close(self.folder)


class Volume:
    """The descriptors of one project's folders, and how things get into them."""

    def __init__(self, folder: Path, owner: tuple[int, int] | None, room: Callable[[int, int], None]) -> None:
        """`owner`: uid and gid of what we make, where they are not ours. Raises OSError, TooOld."""
        self.owner = owner
        self.room = room
        self._locks = [threading.Lock() for _ in range(N_LOCKS)]
        self._use = threading.Lock()
        self._n_users = 0
        self._closing = False
        with ExitStack() as undo:
            self.root = self._open(folder / "files", 0o755, undo)
            self.tmp = self._open(folder / "tmp", 0o700, undo)
            self.kept = self._open(folder / "history", 0o700, undo)
            check_kernel(self.root)
            undo.pop_all()

    def _open(self, folder: Path, mode: int, undo: ExitStack) -> int:
        with suppress(FileExistsError):
            folder.mkdir(mode)
            if self.owner is not None and folder.name == "files":
                os.chown(folder, *self.owner)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        undo.callback(os.close, fd)
        return fd

    @contextmanager
    def used(self) -> Iterator[None]:
        """The folders stay open in the block, whoever closes meanwhile. NotFound: they are closed.

        A closed descriptor's number is soon another's, such as the next project's: nobody may go on with one.
        """
        with self._use:
            if self._closing:
                raise NotFound("there is no such project any more")
            self._n_users += 1
        try:
            yield
        finally:
            with self._use:
                self._n_users -= 1
                is_last = self._closing and self._n_users == 0
            if is_last:
                self._let_go()

    def close(self) -> None:
        """Let go of the folders, as soon as nobody works in them."""
        with self._use:
            is_last = not self._closing and self._n_users == 0
            self._closing = True
        if is_last:
            self._let_go()

    def _let_go(self) -> None:
        for fd in (self.root, self.tmp, self.kept):
            os.close(fd)

    # ---- names in the project

    def spot(self, path: bytes, *, parents: bool = False) -> Spot:
        """Where `path` stands, whatever is there. Its folder must exist, or is made with `parents`. Refusals."""
        above, name = split(path)
        if not name:
            raise BadPath("the project's own folder stays as it is")
        try:
            folder = resolve(self.root, above, os.O_RDONLY | os.O_DIRECTORY)
        except NotFound:
            if not parents:
                raise
            self._make_folders(above)
            folder = resolve(self.root, above, os.O_RDONLY | os.O_DIRECTORY)
        return Spot(folder, name, joined(self._real_path(folder, above), name))

    def _real_path(self, folder: int, said: bytes) -> bytes:
        """The folder's path without links; as it was said, where it has none any more."""
        try:
            root = os.readlink(b"/proc/self/fd/%d" % self.root)
            real = os.readlink(b"/proc/self/fd/%d" % folder)
        except OSError:         # longer than a page
            return said
        if real == root:
            return b""
        return real[len(root) + 1:] if real.startswith(root + b"/") else said

    def target(self, path: bytes, *, parents: bool = False) -> Spot:
        """As `spot`; where a link stands there, the spot of the file that it leads to. Refusals."""
        for _ in range(MAX_LINKS):
            spot = self._target(path, parents=parents)
            if spot is not None:
                return spot
        raise NotFound(f"{shown(path)}: it is changed faster than it can be followed")

    def _target(self, path: bytes, *, parents: bool) -> Spot | None:
        """None: something on the way was replaced meanwhile."""
        spot = self.spot(path, parents=parents)
        with ExitStack() as undo:
            undo.enter_context(spot)
            here = spot.look()
            if here is not None and stat.S_ISLNK(here.st_mode):
                # The kernel says which file it is; then its name is found by hand, and must be of that very file.
                end = resolve(self.root, path, os.O_PATH)
                try:
                    wanted = identity(os.fstat(end))
                finally:
                    os.close(end)
                spot = self._follow(spot, path, undo)
                found = spot.look()
                if found is None or identity(found) != wanted:
                    return None
            undo.pop_all()
        return spot

    def _follow(self, spot: Spot, path: bytes, undo: ExitStack) -> Spot:
        for _ in range(MAX_LINKS):
            here = spot.look()
            if here is None or not stat.S_ISLNK(here.st_mode):
                return spot
            with refused(path):
                to = os.readlink(spot.name, dir_fd=spot.folder)
            if to.startswith(b"/"):
                raise OutsideProject(f"{shown(path)}: a link leads out of the project")
            # The kernel resolves what .. there may be, and refuses it where it leads out.
            to = joined(split(spot.path)[0], to)
            if split(to)[1] in (b"", b".", b".."):
                raise NotAFile(f"{shown(path)} is no file")
            if len(to) >= MAX_TARGET_BYTES:
                raise NotFound(f"{shown(path)}: its links lead nowhere")
            undo.close()
            spot = undo.enter_context(self.spot(to))
        raise NotFound(f"{shown(path)}: its links lead nowhere")

    @contextmanager
    def locked(self, *spots: Spot) -> Iterator[None]:
        """Nobody else of us writes at these spots meanwhile."""
        places = {hash((*identity(os.fstat(spot.folder)), spot.name)) % N_LOCKS for spot in spots}
        with ExitStack() as held:
            for place in sorted(places):        # always in this order: two of us cannot wait for each other
                held.enter_context(self._locks[place])
            yield

    def _make_folders(self, path: bytes) -> None:
        """Make the folder, and those above it that are missing: in tmp/, and then in one step. Refusals."""
        missing: list[bytes] = []
        above = path
        while above:
            try:
                os.close(resolve(self.root, above, os.O_PATH | os.O_DIRECTORY))
                break
            except NotFound:
                above, name = split(above)
                missing.insert(0, name)
        if missing:                             # else somebody was faster
            with suppress(Exists):
                self._make_chain(joined(above, missing[0]), missing[1:])

    def make_folder(self, path: bytes) -> None:
        """Make one folder. Raises Exists, and refusals."""
        self._make_chain(path, [])

    def _make_chain(self, path: bytes, inner: list[bytes]) -> None:
        """Make a folder with the folders `inner`, each in the one before."""
        n = 1 + len(inner)
        with self.spot(path) as spot:
            for name in (spot.name, *inner):
                check_new_name(name)
            if spot.look() is not None:
                raise Exists(f"{shown(path)} exists")
            self.room(0, n)
            draft = new_name()
            with self.giving_back(0, n), refused(path), ExitStack() as undo:
                undo.callback(remove_tree, self.tmp, draft)
                top = self.new_folder(self.tmp, draft)
                try:
                    for name in inner:
                        below = self.new_folder(top, name)
                        os.close(top)
                        top = below
                finally:
                    os.close(top)
                try:
                    rename_new(self.tmp, draft, spot.folder, spot.name)
                except FileExistsError:
                    raise Exists(f"{shown(path)} exists") from None
                undo.pop_all()
                spot.sync()

    # ---- things in tmp/

    @contextmanager
    def giving_back(self, n_bytes: int, n_files: int) -> Iterator[None]:
        """If the block fails, what room it was given is free again."""
        try:
            yield
        except BaseException:
            self.room(-n_bytes, -n_files)
            raise

    def new_folder(self, folder: int, name: bytes, mode: int = FOLDER_MODE) -> int:
        """A new folder of the owner's in tmp/ or below it, where nobody else can swap it; its descriptor. OSError."""
        os.mkdir(name, 0o700, dir_fd=folder)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            self.give(fd, mode)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def new_file(self, folder: int, name: bytes) -> int:
        """A new file in tmp/ or below it, open for writing; nobody else can read it yet. OSError."""
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)

    def give(self, fd: int, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Give a file of ours its mode and owner (the project's if none is said)."""
        owner = owner or self.owner
        if owner is not None:
            # Without root nothing can be given away; whoever saves then becomes the owner.
            with suppress(PermissionError):
                os.fchown(fd, *owner)
        os.fchmod(fd, mode & PERMISSIONS)

    def arm(self, name: bytes, path: bytes) -> None:
        """From now on what is called so in tmp/ may be somebody's content, which came from `path`. OSError."""
        self.note_path(self.tmp, name + ARMED, path)

    def note_path(self, folder: int, name: bytes, path: bytes) -> None:
        """Make a link of that name that says the path: made in one step, and no data to sync. OSError."""
        try:
            os.symlink(path or HERE, name, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            # XFS has links of 1024 bytes.
            fd = self.new_file(folder, name)
            try:
                write_all(fd, path)
            finally:
                os.close(fd)

    def noted_path(self, folder: int, name: bytes) -> bytes:
        """What was noted so. OSError."""
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            path = os.readlink(name, dir_fd=folder)
            return b"" if path == HERE else path
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
            return file.read()

    def armed(self) -> Iterator[tuple[bytes, bytes]]:
        """What may hold somebody's content: its name in tmp/, and the path it came from. OSError."""
        for one in map(os.fsencode, os.listdir(self.tmp)):
            if one.endswith(ARMED):
                yield one.removesuffix(ARMED), self.noted_path(self.tmp, one)

    def drop(self, name: bytes) -> None:
        """The file in tmp/ is not needed any more, nor what it says of its path."""
        for one in (name, name + ARMED):
            with suppress(FileNotFoundError, IsADirectoryError):    # what holds other things is left to the next start
                os.unlink(one, dir_fd=self.tmp)
