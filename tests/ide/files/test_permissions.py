"""What a file's mode forbids to a server that is not root is refused, clearly, and stays as it was."""
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = 65534

# Runs as nobody where we are root, who may do everything.
SCRIPT = '''
import encodings.cp437, io, os, sys, zipfile        # nobody may not even read Python's library, where root has it
sys.path.append({root!r})
from pathlib import Path
from hotpath.ide.errors import NotAllowed, Refusal
from tests.ide.files import places
from tests.ide.files.places import made, versions
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
place = places.place(Path({folder!r}))
place.files.recover()
made(place, b"d/f", b"one")
made(place, b"g", b"two")

def is_refused(act, *args, **options):
    try:
        act(*args, **options)
    except NotAllowed as error:
        assert "the system forbids it" in error.detail, error.detail
    else:
        raise AssertionError((act, args))
    assert place.leftovers == [], place.leftovers

put = lambda path, **options: place.files.put(path, b"x", **options)
os.chmod(place.root / "g", 0)
is_refused(place.files.open, b"g")
is_refused(put, b"g", match="*", create=False)
is_refused(place.files.copy, b"g", b"h")
is_refused(place.files.delete, b"g", match="x")
os.chmod(place.root / "g", 0o600)
os.chmod(place.root / "d", 0o500)
is_refused(put, b"d/f", match="*", create=False)
is_refused(put, b"d/new", match=None, create=True)
is_refused(place.files.make_dir, b"d/new")
is_refused(place.files.move, b"g", b"d/g")
is_refused(place.files.move, b"g", b"d/f", overwrite=True)
is_refused(place.files.move, b"d/f", b"h")
is_refused(place.files.copy, b"g", b"d/g")
is_refused(place.files.delete, b"d/f")
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    archive.writestr("a", "1"); archive.writestr("d/f", "2"); archive.writestr("z", "3")
is_refused(place.files.unzip, b"", packed)
os.chmod(place.root / "d", 0)
is_refused(place.files.listing, b"d")
is_refused(place.files.open, b"d/f")
is_refused(place.files.delete, b"d", recursive=True)
assert b"".join(place.files.zip(b""))
assert place.files.listing(b"", 3)["truncated"] is False
os.chmod(place.root / "d", 0o700)
assert places.tree(place.root) == {{"d": None, "d/f": b"one", "g": b"two"}}, places.tree(place.root)
# What it may do, although modes are odd.
os.chmod(place.root / "d/f", 0o400)
place.files.put(b"d/f", b"three", match="*", create=False)
assert os.stat(place.root / "d/f").st_mode & 0o777 == 0o400
assert versions(place, b"d/f") == [b"one"]
made(place, b"x/y/f", b"one")
os.chmod(place.root / "x/y", 0)
place.files.delete(b"x", recursive=True)
os.chmod(place.root / "g", 0)
place.files.delete(b"g")
assert list(places.tree(place.root)) == ["d", "d/f"] and place.leftovers == []
print("all refused")
'''


@pytest.fixture
def folder():
    """Of nobody's; pytest's own are closed to others."""
    made = Path(mkdtemp(prefix="hotpath-ide-"))
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    subprocess.run(["chmod", "-R", "u+rwx", made], check=True)
    shutil.rmtree(made)


def test_a_server_that_is_not_root_says_what_it_may_not(folder):
    script = SCRIPT.format(root=str(ROOT), nobody=NOBODY, folder=str(folder))
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert done.stdout == "all refused\n", done.stderr
