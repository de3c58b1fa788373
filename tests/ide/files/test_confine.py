"""What is opened lies in the project."""
import errno
import os
import subprocess

import pytest

from hotpath.ide.errors import NotAFile, NotAFolder, NotFound, OutsideProject
from hotpath.ide.files import confine
from hotpath.ide.files.confine import TooOld, check_kernel, opened, resolve


@pytest.fixture
def root(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    top = tmp_path / "files"
    (top / "a/b").mkdir(parents=True)
    (top / "a/f").write_text("inside")
    fd = os.open(top, os.O_RDONLY)
    yield fd, top
    os.close(fd)


def text(fd):
    with open(fd) as file:
        return file.read()


def test_a_path_and_inner_links_are_followed(root):
    fd, top = root
    os.symlink("a", top / "to-a")
    os.symlink("../f", top / "a/b/up")
    for path in (b"a/f", b"to-a/f", b"a/b/up", b"to-a/b/up"):
        assert text(resolve(fd, path)) == "inside"
    os.close(resolve(fd, b""))


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside/secret", "a/../../outside/secret", "..", "/",
                                    "/proc/self/root"])
def test_a_link_that_leads_out_is_refused(root, target):
    fd, top = root
    os.symlink(target, top / "out")
    for path in (b"out", b"out/x"):
        with pytest.raises(OutsideProject):
            resolve(fd, path)


def test_even_an_absolute_link_that_leads_back_in_is_refused(root):
    fd, top = root
    os.symlink(top / "a/f", top / "back")
    with pytest.raises(OutsideProject):
        resolve(fd, b"back")


def test_no_link_is_followed_when_none_is_wanted(root):
    fd, top = root
    os.symlink("a", top / "to-a")
    for path in (b"to-a", b"to-a/f"):
        with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
            opened(fd, path, links=False)


def test_what_is_not_there_is_told_apart(root):
    fd, top = root
    os.symlink("loop", top / "loop")
    with pytest.raises(NotFound):
        resolve(fd, b"nothing")
    with pytest.raises(NotFound):
        resolve(fd, b"loop")
    with pytest.raises(NotAFolder):
        resolve(fd, b"a/f/x")


def test_a_pipe_and_a_socket_never_block(root):
    fd, top = root
    os.mkfifo(top / "pipe")
    os.close(resolve(fd, b"pipe"))      # as if it had an end: fstat tells
    subprocess.run(["python3", "-c", "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])", "s"],
                   cwd=top, check=True)
    with pytest.raises(NotAFile):
        resolve(fd, b"s")


def test_another_file_system_is_outside():
    fd = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(OutsideProject):
            resolve(fd, b"proc/self")
    finally:
        os.close(fd)


def test_an_old_kernel_is_named(root, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.ENOSYS, "Function not implemented")

    check_kernel(root[0])
    monkeypatch.setattr(confine, "open_beneath", refuse)
    with pytest.raises(TooOld, match=r"openat2 is missing; needed: Linux 5\.6"):
        check_kernel(root[0])
