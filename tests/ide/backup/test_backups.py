"""Backing up, listing and restoring against a real S3."""
import hashlib
import json
import os
import socket
import threading
import time
from unittest.mock import patch

import pytest

from hotpath.ide.backup import Backups, backups, reading, restoring
from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import BackupFailed, NoBackup, NoRoom, NotFound
from tests.ide.backup.s3 import FACTS, tree

DAY = 24 * 3600.0


def digest(content):
    return hashlib.blake2b(content, digest_size=32).hexdigest()


@pytest.fixture
def root(tmp_path):
    """A project's folder with all kinds of things in it."""
    root = tmp_path / "project" / "files"
    (root / "src" / "deep").mkdir(parents=True)
    (root.parent / "tmp").mkdir()
    (root / "empty").mkdir()
    (root / "private").mkdir()
    (root / "private").chmod(0o700)
    (root / "main.py").write_bytes(b"print('hello')\n")
    (root / "src" / "deep" / "a b%+ü.txt").write_bytes(b"x" * 1000)
    (root / "src" / "same.py").write_bytes(b"print('hello')\n")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o750)
    (root / "nothing").write_bytes(b"")
    (root / "link").symlink_to("src/same.py")
    (root / "away").symlink_to("/etc/passwd")
    with open(bytes(root) + b"/no\xffutf8", "wb") as file:
        file.write(b"y")
    os.mkfifo(root / "pipe")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_bytes(b"z")
    return root


def run(bucket, root, now=None, **changes):
    return bucket.backups(now, **changes).run("it", FACTS, root, (".venv",))


def expected(root):
    return {path: what for path, what in tree(root).items() if path != b"pipe" and not path.startswith(b".venv")}


@pytest.fixture(autouse=True)
def _no_pipes_in_the_comparison():
    """`tree` must not wait for a pipe's writer."""
    real = os.walk

    def walk(top):
        for folder, names, files in real(top):
            yield folder, names, [name for name in files if name != b"pipe"]

    with patch.object(os, "walk", walk):
        yield


def test_what_is_restored_is_what_was_there(bucket, root, tmp_path):
    made = run(bucket, root)
    assert made == {"seq": 1, "files": 6, "bytes": 15 + 1000 + 15 + 10 + 1, "uploaded": 5}
    target = tmp_path / "new"
    assert bucket.backups().restore("it", None, target, None) == {**FACTS, "seq": 1}
    assert tree(target) == expected(root)


def test_the_store_looks_as_it_was_agreed(bucket, root):
    run(bucket, root)
    manifest = bucket.manifest(1)
    assert (manifest["template"], manifest["run"]) == ("python", "python main.py")
    assert manifest["files"]["main.py"] == {"blob": digest(b"print('hello')\n"), "mode": 0o644, "size": 15}
    assert manifest["files"]["link"] == {"link": "src/same.py"}
    assert manifest["files"]["empty"] == {"dir": 1}
    assert manifest["files"]["private"] == {"dir": 1, "mode": 0o700}
    assert "src" not in manifest["files"]
    assert bucket.get(f"it/blobs/{digest(b'y')}") == b"y"
    assert json.loads(bucket.get("it/HEAD")) == {"seq": 1}
    assert bucket.keys() == {"it/HEAD", "it/manifests/00000001.json", *(f"it/blobs/{one}" for one in bucket.blobs())}


def test_only_what_is_new_is_sent(bucket, root):
    keeper = bucket.backups()
    assert keeper.run("it", FACTS, root, ())["uploaded"] == 6
    assert keeper.run("it", FACTS, root, ())["uploaded"] == 0
    (root / "main.py").write_bytes(b"other")
    made = keeper.run("it", FACTS, root, ())
    assert (made["seq"], made["uploaded"]) == (3, 1)
    assert bucket.backups().run("it", FACTS, root, ())["uploaded"] == 0


def test_unchanged_files_are_not_read_again(bucket, root):
    keeper = bucket.backups()
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1, 1))
    with patch("hotpath.ide.backup.gathering.SETTLED_NS", -10**12):
        keeper.run("it", FACTS, root, ())
    with patch("hotpath.ide.backup.gathering.read", side_effect=AssertionError("read again")):
        assert keeper.run("it", FACTS, root, ())["files"] == 7


def test_a_content_that_the_store_lost_is_sent_again(bucket, root):
    keeper = bucket.backups()
    keeper.run("it", FACTS, root, ())
    bucket.remove(f"it/blobs/{digest(b'y')}")
    assert keeper.run("it", FACTS, root, ())["uploaded"] == 1
    assert bucket.get(f"it/blobs/{digest(b'y')}") == b"y"


def test_backups_are_listed_the_newest_first(bucket, root):
    keeper = bucket.backups()
    assert keeper.list("it") == []
    keeper.run("it", FACTS, root, ())
    (root / "more").write_bytes(b"12345")
    keeper.run("it", FACTS, root, ())
    listed = keeper.list("it")
    assert [(one["seq"], one["files"], one["bytes"]) for one in listed] == [(2, 8, 1047), (1, 7, 1042)]
    assert all(one["time"].endswith("Z") and len(one["time"]) == 20 for one in listed)


def test_what_lost_its_metadata_is_counted(bucket, root):
    run(bucket, root)
    bucket.put("it/manifests/00000005.json", bucket.get("it/manifests/00000001.json"))
    bucket.put("it/manifests/00000006.json", b"no manifest")
    bucket.put("it/manifests/readme.txt", b"")
    assert [(one["seq"], one["files"]) for one in bucket.backups().list("it")] == [(5, 6), (1, 6)]


def test_only_so_many_are_kept(bucket, root):
    keeper = bucket.backups(keep=3)
    for i in range(5):
        (root / "main.py").write_bytes(b"%d" % i)
        keeper.run("it", FACTS, root, ())
    assert [one["seq"] for one in keeper.list("it")] == [5, 4, 3]
    assert digest(b"0") in bucket.blobs()           # it is not a day old


def test_contents_that_no_kept_backup_names_go_after_a_day(bucket, root, tmp_path):
    for i in range(4):
        (root / "main.py").write_bytes(b"%d" % i)
        run(bucket, root, keep=2)
    (root / "main.py").write_bytes(b"last")
    run(bucket, root, lambda: time.time() + DAY - 600, keep=2)
    assert digest(b"0") in bucket.blobs()
    run(bucket, root, lambda: time.time() + DAY + 600, keep=2)
    present = bucket.blobs()
    assert {digest(b"%d" % i) in present for i in range(4)} == {False}
    keeper = bucket.backups()
    for one in keeper.list("it"):
        keeper.restore("it", one["seq"], tmp_path / f"back-{one['seq']}", None)


def test_a_sweep_stops_before_a_manifest_that_cannot_be_read(bucket, root):
    for i in range(3):
        (root / "main.py").write_bytes(b"%d" % i)
        run(bucket, root)
    bucket.put("it/manifests/00000001.json", b"{}")
    before = bucket.blobs()
    run(bucket, root, lambda: time.time() + 2 * DAY)
    assert bucket.blobs() >= before


def test_an_old_content_that_comes_back_is_sent_again_and_not_swept(bucket, root, tmp_path):
    (root / "main.py").write_bytes(b"old")
    run(bucket, root, keep=1)
    (root / "main.py").write_bytes(b"new")
    run(bucket, root, keep=1)
    (root / "main.py").write_bytes(b"old")
    assert run(bucket, root, lambda: time.time() + 13 * 3600, keep=1)["uploaded"] == 1
    bucket.backups().restore("it", None, tmp_path / "back", None)
    assert (tmp_path / "back" / "main.py").read_bytes() == b"old"


def test_two_servers_on_one_project_get_two_numbers(bucket, faulty, root, tmp_path):
    other = bucket.backups()
    behind = bucket.through(faulty.url)
    once = threading.Event()

    def fault(method, path):
        if method == "PUT" and "/manifests/" in path and not once.is_set():
            once.set()
            other.run("it", FACTS, root, ())            # between its look and its write
        return None

    faulty.fault = fault
    assert behind.backups().run("it", FACTS, root, ())["seq"] == 2
    assert [one["seq"] for one in other.list("it")] == [2, 1]
    assert json.loads(bucket.get("it/HEAD")) == {"seq": 2}


def test_head_never_goes_back(bucket, faulty, root):
    other = bucket.backups()
    behind = bucket.through(faulty.url)
    once = threading.Event()

    def fault(method, path):
        if method == "PUT" and path.endswith("/HEAD") and not once.is_set():
            once.set()
            other.run("it", FACTS, root, ())
        return None

    faulty.fault = fault
    assert behind.backups().run("it", FACTS, root, ())["seq"] == 1
    assert json.loads(bucket.get("it/HEAD")) == {"seq": 2}


@pytest.mark.parametrize(("method", "within", "what"), [
    ("PUT", "/blobs/", 500), ("PUT", "/blobs/", "lost"), ("PUT", "/manifests/", 503), ("PUT", "/manifests/", "lost"),
    ("GET", "/manifests/", "half"), ("PUT", "/HEAD", "lost"), ("PUT", "/HEAD", "drop"), ("GET", "list-type", "half")])
def test_a_store_that_fails_once_is_asked_again(bucket, faulty, root, tmp_path, method, within, what):
    bucket.endpoint = faulty.url
    faulty.times(1, what, method=method, within=within)
    with patch("time.sleep"):
        made = run(bucket, root)
        bucket.backups().restore("it", made["seq"], tmp_path / "back", None)
    assert tree(tmp_path / "back") == expected(root)
    assert json.loads(bucket.get("it/HEAD")) == {"seq": made["seq"]}


@pytest.mark.parametrize(("method", "within", "what"), [
    ("PUT", "/blobs/", 500), ("PUT", "/manifests/", "drop"), ("PUT", "/HEAD", 500), ("GET", "list-type", "drop")])
def test_a_store_that_keeps_failing_is_told_and_a_later_try_works(bucket, faulty, root, tmp_path, method, within, what):
    bucket.endpoint = faulty.url
    keeper = bucket.backups()
    faulty.times(10**9, what, method=method, within=within)
    with patch("time.sleep"), pytest.raises(BackupFailed) as caught:
        keeper.run("it", FACTS, root, (".venv",))
    assert bucket.name in caught.value.detail
    assert "test" not in caught.value.detail.split()        # no credential
    faulty.fault = lambda method, path: None
    made = keeper.run("it", FACTS, root, (".venv",))
    keeper.restore("it", made["seq"], tmp_path / "back", None)
    assert tree(tmp_path / "back") == expected(root)


@pytest.mark.parametrize("what", [500, "drop", "half"])
def test_a_restore_survives_a_bad_moment_and_leaves_nothing_of_a_bad_hour(bucket, faulty, root, tmp_path, what):
    run(bucket, root)
    bucket.endpoint = faulty.url
    target = tmp_path / "back"
    with patch("time.sleep"):
        faulty.times(1, what, method="GET", within="/blobs/")
        bucket.backups().restore("it", 1, target, None)
        assert tree(target) == expected(root)
        faulty.times(10**9, what, method="GET", within=f"/blobs/{digest(b'#!/bin/sh' + bytes([10]))}")
        with pytest.raises(BackupFailed):
            bucket.backups().restore("it", 1, tmp_path / "other", None)
        (tmp_path / "third").mkdir()
        with pytest.raises(BackupFailed):
            bucket.backups().restore("it", 1, tmp_path / "third", None)
    assert not (tmp_path / "other").exists()
    assert os.listdir(tmp_path / "third") == []


def test_nobody_there_is_told(bucket, root):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        bucket.endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with patch("time.sleep"), pytest.raises(BackupFailed, match="does not answer") as caught:
            run(bucket, root)
    assert caught.value.status == 503


def test_a_bucket_that_is_missing_is_told(bucket, root):
    bucket.name = "bucket-that-nobody-made"
    with pytest.raises(BackupFailed, match=r"backup\.bucket"):
        run(bucket, root)


def test_while_the_store_fails_the_last_good_one_is_said(bucket, faulty, root):
    behind = bucket.through(faulty.url)
    keeper = behind.backups()
    keeper.run("it", FACTS, root, ())
    made = keeper._last["it"]
    faulty.fault = lambda method, path: 403
    with pytest.raises(BackupFailed) as failed:
        keeper.list("it")
    assert failed.value.members["last"] == made
    with pytest.raises(BackupFailed) as failed:
        behind.backups().list("it")             # another server, which has seen none
    assert failed.value.members["last"] is None
    faulty.fault = lambda method, path: None
    (listed,) = keeper.list("it")
    assert {**listed, "time": ""} == {**made, "time": ""}


def test_missing_credentials_are_told(bucket, root, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(BackupFailed, match="no credentials"):
        Backups(bucket.config()).run("it", FACTS, root, ())


def test_without_boto3_it_is_said_what_to_install(bucket, root):
    with patch.dict("sys.modules", {"boto3.session": None}), pytest.raises(BackupFailed, match=r"hotpath\[s3\]"):
        Backups(bucket.config()).run("it", FACTS, root, ())


def test_without_a_bucket_nothing_is_configured(root, tmp_path):
    keeper = Backups(IdeConfig())
    assert keeper.configured is False
    for call in (lambda: keeper.run("it", FACTS, root, ()), lambda: keeper.list("it"),
                 lambda: keeper.restore("it", None, tmp_path / "x", None)):
        with pytest.raises(NoBackup):
            call()


@pytest.mark.parametrize("seq", [None, 7, 0, -1, 10**9])
def test_a_backup_that_is_not_there_is_not_found(bucket, tmp_path, seq):
    with pytest.raises(NotFound):
        bucket.backups().restore("it", seq, tmp_path / "x", None)
    assert not (tmp_path / "x").exists()


def tampered(bucket, root, change):
    run(bucket, root)
    manifest = bucket.manifest(1)
    change(manifest)
    bucket.put("it/manifests/00000001.json", json.dumps(manifest).encode())


BLOB = {"blob": digest(b""), "mode": 0o644, "size": 0}


@pytest.mark.parametrize(("path", "entry"), [("../evil", BLOB), ("away/evil", BLOB)])
def test_a_manifest_that_somebody_changed_is_refused(bucket, root, tmp_path, path, entry):
    tampered(bucket, root, lambda manifest: manifest["files"].update({path: entry}))
    before = set(os.listdir(tmp_path))
    with pytest.raises(BackupFailed, match="damaged"):
        bucket.backups().restore("it", 1, tmp_path / "back", None)
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("content", [b"print('hallo')\n", b"", b"print('hello')\nmore", None])
def test_a_content_that_somebody_changed_is_refused(bucket, root, tmp_path, content):
    run(bucket, root)
    key = f"it/blobs/{digest((root / 'main.py').read_bytes())}"
    bucket.remove(key) if content is None else bucket.put(key, content)
    with pytest.raises(BackupFailed, match=r"damaged|not whole"):
        bucket.backups().restore("it", 1, tmp_path / "back", None)
    assert not (tmp_path / "back").exists()


def test_more_than_a_project_may_have_is_not_restored(bucket, root, tmp_path):
    tampered(bucket, root, lambda manifest: manifest["files"]["main.py"].update(size=2**40))
    with pytest.raises(NoRoom):
        bucket.backups().restore("it", 1, tmp_path / "back", None)
    assert not (tmp_path / "back").exists()


def test_nothing_is_restored_over_something(bucket, root, tmp_path):
    run(bucket, root)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").write_bytes(b"")
    with pytest.raises(FileExistsError):
        bucket.backups().restore("it", 1, tmp_path / "back", None)
    assert os.listdir(tmp_path / "back") == ["mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files are given away")
def test_restored_files_belong_to_the_owner(bucket, root, tmp_path):
    run(bucket, root)
    bucket.backups().restore("it", 1, tmp_path / "back", (1234, 4321))
    owners = {(os.lstat(path).st_uid, os.lstat(path).st_gid) for path in (tmp_path / "back").rglob("*")}
    assert owners == {(1234, 4321)}


def test_a_large_file_is_not_held_in_memory(bucket, root, tmp_path):
    with patch.object(reading, "SMALL", 1000), patch.object(reading, "PIECE", 300):
        (root / "large").write_bytes(os.urandom(10_000))
        run(bucket, root)
    bucket.backups().restore("it", None, tmp_path / "back", None)
    assert (tmp_path / "back" / "large").read_bytes() == (root / "large").read_bytes()
    assert os.listdir(root.parent / "tmp") == []


def test_a_file_that_changes_while_it_is_read_is_read_again(bucket, root, tmp_path):
    """Its writer makes all of it one letter at a time; a backup must never have two letters."""
    path, letters = root / "busy", list(b"bcd")
    path.write_bytes(b"a" * 3_000_000)
    os.utime(path, (1, 1))              # whatever the clock's tick, a write is seen
    keeper, real = bucket.backups(), reading._read_once

    class Busy:
        """The file, whose writer makes all of it another letter behind each piece that is read."""

        def __init__(self, file):
            self.file = file

        def read(self, n):
            piece = self.file.read(n)
            if letters:
                with open(path, "r+b") as file:
                    file.write(bytes([letters.pop(0)]) * 3_000_000)
            return piece

    def read_once(file, status, spool):
        return real(Busy(file) if status.st_size == 3_000_000 else file, status, spool)

    with patch.object(reading, "_read_once", read_once):
        keeper.run("it", FACTS, root, ())
    keeper.restore("it", None, tmp_path / "back", None)
    assert set((tmp_path / "back" / "busy").read_bytes()) == set(b"d")
    assert not letters


def test_a_file_that_vanishes_is_left_out(bucket, root):
    real = reading.read

    def read(name, folder_fd, spool):
        if name == b"main.py":
            (root / "main.py").unlink()
        return real(name, folder_fd, spool)

    with patch("hotpath.ide.backup.gathering.read", read):
        run(bucket, root)
    assert "main.py" not in bucket.manifest(1)["files"]


def test_a_file_that_becomes_a_link_is_not_followed(bucket, root):
    real = reading.read

    def read(name, folder_fd, spool):
        if name == b"main.py":
            (root / "main.py").unlink()
            (root / "main.py").symlink_to("/etc/passwd")
        return real(name, folder_fd, spool)

    with patch("hotpath.ide.backup.gathering.read", read):
        run(bucket, root)
    with open("/etc/passwd", "rb") as file:
        assert digest(file.read()) not in bucket.blobs()


def test_a_full_disk_is_told_and_nothing_is_left(bucket, root, tmp_path):
    run(bucket, root)
    with patch.object(restoring.os, "write", side_effect=OSError(28, "No space left on device")), \
            pytest.raises(NoRoom):
        bucket.backups().restore("it", 1, tmp_path / "back", None)
    assert not (tmp_path / "back").exists()


def test_what_is_remembered_of_files_is_bounded(bucket, root):
    keeper = bucket.backups()
    with patch.object(backups, "MAX_KNOWN", 10), patch("hotpath.ide.backup.gathering.SETTLED_NS", -10**12):
        for id in ("one", "two", "three"):
            keeper.run(id, FACTS, root, ())
    assert sum(map(len, keeper._known.values())) <= 10
