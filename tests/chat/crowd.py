"""People who talk in channels, and their clients: the load under which the faults happen."""
from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chat.asking import Answer, Unanswered
from tests.chat.client import Client, Person
from tests.chat.history import History

EMOJI = ("%F0%9F%91%8D", "%F0%9F%8E%89", "%E2%9D%A4")
# What becomes of a change whose object somebody else removed meanwhile, or that hit a fault: all allowed.
PATIENCE_S = 60.0


class Crowd:
    """Some people in some channels, each with some clients."""

    def __init__(self, url: str, folder: Path, *, seed: int, people: int, channels: int, clients: int,
                 receive_buffer: int = 0) -> None:
        self.random = random.Random(seed)
        self.history = History(folder / "history")
        self.people = [Person(url, f"p{i}", self.history) for i in range(people)]
        self.n_channels = channels
        self.channels: list[int] = []
        self.wanderers: set[int] = set()        # people who come and go, or are gone: not asked to have all
        self.clients = [Client(self.people[i % people], receive_buffer=receive_buffer) for i in range(clients)]
        self._wandering: set[int] = set()
        self.roots: list[dict[str, Any]] = []
        self.answers: dict[int, int] = {}       # status: count, of all changes
        self._n = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()

    @property
    def admin(self) -> Person:
        """The first one ever."""
        return self.people[0]

    async def enter(self) -> None:
        """Accounts, channels, memberships; then all clients."""
        await self.people[0].enter()
        await asyncio.gather(*(person.enter() for person in self.people[1:]))
        everybody = [person.id for person in self.people]
        for i in range(self.n_channels):
            kind = ("public", "private")[i % 2]
            self.channels.append(await self.admin.channel(f"c{i}", kind, everybody[1:]))
        for client in self.clients:
            client.start()
        await asyncio.gather(*(client.until(lambda client=client: client.is_ready, "ready", PATIENCE_S)
                               for client in self.clients))

    def talk(self, talkers: int, pause_s: float) -> None:
        """From now on so many send and change at random, each with a pause behind each."""
        self._is_over.clear()
        self._tasks += [asyncio.create_task(self._talk(self.random.choice(self.people), pause_s))
                        for _ in range(talkers)]

    def wander(self, people: int, pause_s: float) -> None:
        """From now on the last so many people leave public channels and come back, again and again."""
        for person in self.people[-people:]:
            self.wanderers.add(person.id)
            self._wandering.add(person.id)
            self._tasks.append(asyncio.create_task(self._wander(person, pause_s)))

    async def hush(self) -> None:
        """No more; everything sent is answered, and everybody is where they belong."""
        self._is_over.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        self.wanderers -= self._wandering

    def text(self) -> str:
        """One that nobody sent before."""
        self._n += 1
        named = f" @{self.random.choice(self.people).name}" if self.random.random() < 0.2 else ""
        return f"message {self._n}{named} {'x' * self.random.randrange(200)}"

    async def _talk(self, person: Person, pause_s: float) -> None:
        while not self._is_over.is_set():
            channel = self.random.choice(self.channels)
            if self.random.random() < 0.7 or len(self.roots) < 10:
                root = self.random.choice(self.roots) if self.roots and self.random.random() < 0.2 else None
                if root is not None and root["root"] is None:
                    message = await person.send(root["channel"], self.text(), root=root["id"])
                else:
                    message = await person.send(channel, self.text())
                if message is not None and len(self.roots) < 1000:
                    self.roots.append(message)
            else:
                await self._change(person, self.random.choice(self.roots))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), self.random.uniform(0, 2 * pause_s))

    async def _wander(self, person: Person, pause_s: float) -> None:
        mine = self.channels[::2]       # the public ones
        while not self._is_over.is_set():
            path = f"/api/channels/{self.random.choice(mine)}/members/{person.id}"
            for method, allowed in (("DELETE", (204, 404)), ("PUT", (200, 201))):
                # Not in again without a try: what a fault left half done is done by the next one.
                await person.insist(method, path, {} if method == "PUT" else None, allowed=allowed)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_over.wait(), self.random.uniform(0, pause_s))

    async def _change(self, person: Person, message: dict[str, Any]) -> None:
        """One try of something else than a message; whether it was done, the log will tell."""
        what, path = self.random.randrange(8), f"/api/messages/{message['id']}"
        emoji = self.random.choice(EMOJI)
        author = next((one for one in self.people if one.id == message["user"]), person)
        with suppress(Unanswered):
            for client in self.clients:
                if client.person is person and client.is_ready:
                    client.say({"type": "typing", "channel": message["channel"]})
            match what:
                case 0 | 1:
                    answer = await author.ask("PATCH", path, {"text": self.text()})
                case 2:
                    answer = await author.ask("DELETE", path)
                case 3 | 4:
                    answer = await person.ask("PUT", f"{path}/reactions/{emoji}", {})
                case 5:
                    answer = await person.ask("DELETE", f"{path}/reactions/{emoji}")
                case _:
                    seq = self.random.randrange(message["seq"] + 1)
                    answer = await person.ask("PUT", f"/api/channels/{message['channel']}/read",
                                              {"seq": seq, "back": True} if what == 7 else {"seq": seq})
            self.count(answer)

    def count(self, answer: Answer) -> None:
        """What changes were answered; a 5xx other than 503 is nobody's right answer."""
        self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
        assert answer.status < 500 or answer.status == 503, f"{answer.status} {answer.body[:500]!r}"

    async def level(self, within_s: float = PATIENCE_S) -> None:
        """A new message in each channel, which each client that is to have it has."""
        places = [await self.admin.send(channel, self.text()) for channel in self.channels]
        assert all(places), f"a message was not taken: {places}"
        await asyncio.gather(*(client.has(place["channel"], place["seq"], within_s) for client in self.clients
                               if client.person.id not in self.wanderers for place in places if place))

    async def finish(self) -> Path:
        """Silence; everybody has everything; the history is written."""
        await self.hush()
        await self.level()
        for channel in self.channels:
            _, head = await self.admin.page(channel, 0)
            await asyncio.gather(*(client.has(channel, head, PATIENCE_S) for client in self.clients
                                   if client.person.id not in self.wanderers))
        numbers = [client.number for client in self.clients]
        self.history.note("end", numbers, numbers)
        self.history.flush()
        return self.history.path

    async def leave(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(client.stop() for client in self.clients))
        self.history.close()
