"""A full disk: what does not fit is refused as a whole, and what was there stays."""
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hotpath.ide.errors import NoRoom
from tests.ide.files.places import made

ROOT = Path(__file__).parents[3]
# A mount that only the child sees; without the right to mount, in a user namespace of its own.
ALONE = ["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]


def test_a_full_disk_refuses_and_changes_nothing(tmp_path):
    alone = next((one for one in ALONE if subprocess.run([*one, "true"], capture_output=True).returncode == 0), None)
    if alone is None:
        pytest.skip("unshare --user --mount is not allowed here: no disk of its own can be mounted")
    done = subprocess.run([*alone, sys.executable, "-m", "tests.ide.files.fulldisk", tmp_path], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.stdout == "all refused\n", done.stderr


def test_a_file_beyond_what_the_server_may_write_is_refused(place):
    etag = made(place, b"f", b"small")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(NoRoom):
            place.files.put(b"f", bytes(2000), match=etag, create=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (place.root / "f").read_bytes() == b"small"
    assert place.files.history(b"f") == []
