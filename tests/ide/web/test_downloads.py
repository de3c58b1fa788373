from __future__ import annotations

import os
import threading
from pathlib import Path

from hotpath.core.tasks import run, sleep, spawn
from hotpath.ide.files import OpenFile
from hotpath.ide.web.downloads import opened
from tests.waiting import wait_for


def is_open(fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()


def test_who_goes_while_a_file_is_opened_leaves_no_descriptor():
    begun, go_on = threading.Event(), threading.Event()
    fds: list[int] = []

    def slowly() -> OpenFile:
        begun.set()
        go_on.wait(20)
        fds.append(os.open("/dev/null", os.O_RDONLY))
        return OpenFile(fds[0], 0, "", 0.0)

    def main() -> None:
        task = spawn(opened, slowly)
        while not begun.is_set():
            sleep(0.001)
        task.cancel()
        task.join()
        go_on.set()
        while not fds or is_open(fds[0]):
            sleep(0.001)

    run(main)
    wait_for(lambda: not is_open(fds[0]), "its end")


def test_who_waits_gets_the_file_open():
    def main() -> None:
        file = opened(lambda: OpenFile(os.open("/dev/null", os.O_RDONLY), 0, "", 0.0))
        assert is_open(file.fd)
        file.close()

    run(main)
