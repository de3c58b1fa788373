"""Whatever programs do to a folder: who applies what was told, and nothing else, knows what is there."""
import ctypes
import os
import random
import shutil
from contextlib import suppress

import pytest

from hotpath.core.tasks import sleep
from tests.ide.watching.hearing import etag, heard

AT_FDCWD, RENAME_EXCHANGE = -100, 2
libc = ctypes.CDLL(None, use_errno=True)
NAMES = ("a", "b", "node_modules", "ü")


class Programs:
    """Random changes, half of which the kernel refuses."""

    def __init__(self, root, seed):
        self.root = root
        self.random = random.Random(seed)
        self.steps = 0

    def path(self):
        return self.root.joinpath(*self.random.choices(NAMES, k=self.random.randint(1, 3)))

    def step(self):
        self.steps += 1
        path, other = self.path(), self.path()
        with suppress(OSError):
            match self.random.randrange(9):
                case 0 | 1:
                    path.write_bytes(b"%d" % self.steps)
                case 2:
                    path.mkdir(parents=True)
                case 3:
                    path.unlink()
                case 4:
                    shutil.rmtree(path)
                case 5:
                    path.rename(other)
                case 6:
                    libc.renameat2(AT_FDCWD, bytes(path), AT_FDCWD, bytes(other), RENAME_EXCHANGE)
                case 7:
                    path.symlink_to(self.random.choice(["a", "../b", "/etc"]))
                case 8:
                    path.with_name("draft").write_bytes(b"%d" % self.steps)
                    path.with_name("draft").replace(path)


def applied(changes):
    """path -> (kind, etag), by the changes alone."""
    known = {}
    for change in changes:
        path = change["path"]
        if change["op"] == "remove":
            known = {one: what for one, what in known.items() if one != path and not one.startswith(path + "/")}
        else:
            known[path] = (change["kind"], change["etag"])
    return known


def present(root):
    """The same by looking; what is in ignored folders is not to be told."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, root)
            if os.path.islink(path):
                found[shown] = ("link", None)
            elif os.path.isdir(path):
                found[shown] = ("dir", None)
            else:
                with open(path, "rb") as file:
                    found[shown] = ("file", etag(file.read()))
        names[:] = [name for name in names if name != "node_modules"]
    return found


@pytest.mark.parametrize("seed", range(12))
def test_who_applies_what_is_told_knows_what_is_there(seed):
    @heard()
    def run(it):
        programs = Programs(it.root, seed)
        for _ in range(15):
            for _ in range(programs.random.randint(1, 20)):
                programs.step()
            sleep(programs.random.choice([0, 0.005, 0.03]))
        it.settle()
        it.wait(lambda: applied(it.changes) == present(it.root))
        assert "overflow" not in it.types()

    run()
