"""What a watcher tells of a real folder, waited for."""
import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from hotpath.core.tasks import sleep
from hotpath.ide.watching import Watcher
from tests.core.tasks.tasked import in_task

LIMIT = 8192


def etag(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class Heard:
    """Of one project, on `root`."""

    def __init__(self, root, watcher, ignore=("node_modules", ".venv")):
        self.root = root
        self.watcher = watcher
        self.messages = []
        watcher.add("it", root, ignore, self.messages.append)

    @property
    def changes(self):
        return [change for message in self.messages if message["type"] == "fs" for change in message["changes"]]

    def ops(self, path):
        return [change["op"] for change in self.changes if change["path"] == path]

    def last(self, path):
        return next((change for change in reversed(self.changes) if change["path"] == path), None)

    def types(self):
        return [message["type"] for message in self.messages]

    def wait(self, check):
        """Until it is true; the test's own deadline ends it otherwise."""
        while not (answer := check()):
            sleep(0.005)
        return answer

    def wait_for(self, path, op=None, **members):
        """The change of this path that is as given."""
        def told():
            change = self.last(path)
            return change if change is not None and (op is None or change["op"] == op) and all(
                change[key] == value for key, value in members.items()) else None

        return self.wait(told)

    def settle(self):
        """All that happened before is told: a mark of our own was, and what comes behind it cannot be before it."""
        def marked():
            mark = self.root / f"mark-{os.urandom(8).hex()}"
            heard = len(self.messages)
            mark.write_bytes(b"")
            self.wait(lambda: self.last(mark.name) or "overflow" in self.types()[heard:])
            mark.unlink()
            return self.last(mark.name) and self.wait_for(mark.name, "remove")

        self.wait(marked)


def heard(limit=LIMIT, **options):
    """Run the test in a task with a `Heard` of a new, empty folder."""
    def decorate(test):
        @functools.wraps(test)
        def outer():
            root = Path(tempfile.mkdtemp(prefix="watching-"))
            try:
                in_task(inner)(root)
            finally:
                shutil.rmtree(root, ignore_errors=True)

        def inner(root):
            watcher = Watcher(limit)
            watcher.open()
            try:
                test(Heard(root, watcher, **options))
            finally:
                watcher.close()

        del outer.__wrapped__           # pytest must not see the argument
        return outer

    return decorate
