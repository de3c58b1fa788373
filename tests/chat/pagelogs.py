"""The page's reducer in Node, and a channel of a real store whose log it follows."""
from __future__ import annotations

import json
import random
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hotpath.chat.config import ChatConfig
from hotpath.chat.store import Database, DeleteMessage, EditMessage, Join, Leave, MarkRead, React, Refused
from tests.chat.store.worlds import World, running
from tests.waiting import DEADLINE_S

PAGE = Path(__file__).parents[2] / "chat" / "page"
DRIVER = Path(__file__).with_name("pagelog.mjs")
EMOJI = ("👍", "🎉")


class PageLog:
    """`log.js` as it runs in a page."""

    def __init__(self, folder: Path, me: int, *, max_rows: int = 3000, root: int = 0) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node: install Debian's package nodejs")
        folder.mkdir()
        # A browser takes each .js of the page as a module; Node asks for this file.
        (folder / "package.json").write_text('{"type": "module"}')
        for source in (DRIVER, *PAGE.glob("*.js")):
            shutil.copy(source, folder)
        self.process = subprocess.Popen([node, str(folder / DRIVER.name), str(me), str(max_rows), str(root)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.state: dict[str, Any] = {"position": None, "rows": [], "isAtTail": False}

    def do(self, name: str, *given: object) -> Any:
        """Call it; its answer. What it then shows is in `state`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([name, *given]).encode() + b"\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], DEADLINE_S)[0], f"no answer to {name}"
        self.state = json.loads(self.process.stdout.readline())
        return self.state["answer"]

    def __getitem__(self, name: str) -> Any:
        return self.state[name]

    def close(self) -> None:
        """No more."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Talk:
    """One channel where people talk at random; `me` reads it in a page."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        self.me, *self.others = (world.user(name) for name in ("me", "ann", "bob", "cy"))
        self.channel = world.channel(self.me, *self.others[:2])
        self.thread = world.post(self.others[0], self.channel, "the root of it all")["id"]

    # ---- what people do

    def go_on(self, n: int) -> None:
        """`n` things happen."""
        for _ in range(n):
            self.random.choices((self._post, self._reply, self._edit, self._delete, self._react, self._join_or_leave),
                                (8, 4, 3, 1, 4, 1))[0]()

    def _someone(self) -> int:
        return self.random.choice((self.me, *self.others[:2]))

    def _text(self) -> str:
        return self.random.choice(("hello", "@me look", "@channel all", "a\nb", "<b>no</b>", "'; DROP TABLE x; --"))

    def _any_message(self) -> tuple[int, int]:
        rows = self.world.all("SELECT id, user_id FROM messages WHERE channel_id = ? AND deleted = 0", self.channel)
        return self.random.choice([tuple(row) for row in rows])

    def _post(self) -> None:
        self.world.post(self._someone(), self.channel, self._text())

    def _reply(self) -> None:
        roots = self.world.all("SELECT id FROM messages WHERE channel_id = ? AND root_id IS NULL AND deleted = 0",
                               self.channel)
        root = self.random.choice([self.thread, *(row[0] for row in roots)])
        self.world.post(self._someone(), self.channel, self._text(), root=root)

    def _edit(self) -> None:
        message, author = self._any_message()
        self.world.do(EditMessage(author, message, f"{self._text()} {self.random.random()}"))

    def _delete(self) -> None:
        message, author = self._any_message()
        if message != self.thread:
            self.world.do(DeleteMessage(author, message))

    def _react(self) -> None:
        message, _ = self._any_message()
        self.world.do(React(self._someone(), message, self.random.choice(EMOJI), self.random.random() < 0.7))

    def _join_or_leave(self) -> None:
        guest = self.others[2]
        try:
            self.world.do(Leave(guest, self.channel, guest))
        except Refused:
            self.world.do(Join(guest, self.channel, guest))

    def read(self, seq: int, *, back: bool = False) -> dict[str, Any]:
        """`me` reads up to there; the frame that says so."""
        return dict(self.world.do(MarkRead(self.me, self.channel, seq, back)))

    # ---- what the server says

    @property
    def head(self) -> int:
        """Of the log."""
        return int(self.history(limit=1)["head"])

    def frames(self, after: int = 0) -> list[dict[str, Any]]:
        """The event frames behind `after`, as sockets get them."""
        frames, _ = self.world.reader.events(self.me, self.channel, after=after, limit=1000)
        return [json.loads(frame) for frame in frames]

    def history(self, **query: int) -> dict[str, Any]:
        """A page of it."""
        page: dict[str, Any] = json.loads(json.dumps(self.world.reader.history(self.me, self.channel, **query)))
        return page

    def listed(self) -> dict[str, Any]:
        """The channel as the list shows it."""
        return next(dict(row) for row in self.world.reader.channels(self.me) if row["id"] == self.channel)

    def all_messages(self) -> list[Any]:
        """Fetched anew."""
        messages: list[Any] = self.history(limit=200)["messages"]
        while messages:
            page = self.history(before=messages[0]["seq"], limit=200)
            if not page["messages"]:
                return messages
            messages = page["messages"] + messages
        return messages


@contextmanager
def talking(folder: Path, seed: int) -> Iterator[Talk]:
    """A talk on a fresh database."""
    database = Database.open(ChatConfig(data=str(folder / "data")))
    try:
        with running(database) as world:
            yield Talk(world, seed)
    finally:
        database.close()
