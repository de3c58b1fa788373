"""Groups of real replicas on this machine, each a process, with drills and short intervals."""
from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hotpath.core.serve.testing import Served, launched
from tests.clients import Answer, Client
from tests.crdt.replicas import COMMAND, JSON
from tests.waiting import free_port, wait_for

CONFIG = """\
sync: {interval: 100ms, timeout: 30s}
gc: {after: 24h, interval: 100ms}
drill: true
log: {access: off}
"""


class Member:
    """One replica: its address and its directory stay when its process goes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.served: Served | None = None
        self.stack = ExitStack()

    def ask(self, method: str, target: str, body: object = None, fields: Iterable[tuple[str, str]] = ()) -> Answer:
        """One request; `body` becomes JSON unless it is bytes, which have no type but that of `fields`."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        more = JSON if body is not None and not isinstance(body, bytes) else []
        with Client(f"127.0.0.1:{self.port}", patience_s=30.0) as client:
            return client.ask(method, target, [*more, *fields], data)

    def get(self, target: str) -> Any:
        """The JSON that answers a GET."""
        answer = self.ask("GET", target)
        assert answer.status == 200, answer
        return answer.json()

    def put(self, key: str, value: object) -> str:
        """Write; the stamp."""
        answer = self.ask("PUT", f"/kv/{key}?upsert=true", value)
        assert answer.status in (200, 201), answer
        return answer.json()["stamp"]

    def remove(self, key: str) -> None:
        """Remove."""
        assert self.ask("DELETE", f"/kv/{key}").status == 204

    @property
    def items(self) -> dict[str, object]:
        """All keys and values."""
        return {item["key"]: item["value"] for item in self.get("/kv?limit=1000")["items"]}

    @property
    def states(self) -> dict[str, str]:
        """Of its peers."""
        return {member["name"]: member["state"] for member in self.get("/members")["members"]}

    @property
    def is_healthy(self) -> bool:
        """Whether /healthz says so."""
        return self.ask("GET", "/healthz").status == 200

    def reason(self, peer: str) -> str:
        """Why that peer is not up."""
        return next(str(member["reason"]) for member in self.get("/members")["members"] if member["name"] == peer)

    def cut(self, *peers: str) -> None:
        """Cut links at its end."""
        assert self.ask("POST", "/drill/cut", {"peers": list(peers)}).status == 200

    def heal(self, *peers: str) -> None:
        """Heal them."""
        assert self.ask("POST", "/drill/heal", {"peers": list(peers)}).status == 200


class Cluster:
    """Some members that know each other's addresses."""

    def __init__(self, folder: Path, names: str, config: str) -> None:
        self.folder = folder
        self.config = config
        self.members = {name: Member(folder, name) for name in names}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def start(self, name: str, *, peers: Iterable[str] | None = None, more: str = "", healthy: bool = True) -> Member:
        """Start its process, with these peers or all; `more` is further configuration."""
        member = self.members.setdefault(name, Member(self.folder, name))
        member.folder.mkdir(parents=True, exist_ok=True)
        config = member.folder / "config.yaml"
        overridden = {line.partition(":")[0] for line in more.splitlines()}
        kept = [line for line in self.config.splitlines() if line.partition(":")[0] not in overridden]
        known = [{"name": peer, "url": self.members[peer].url}
                 for peer in (self.members if peers is None else peers) if peer != name]
        config.write_text("\n".join([*kept, more, f"peers: {json.dumps(known)}", ""]))
        member.served = member.stack.enter_context(launched(
            [*COMMAND, "--config", str(config), "--replica", name, "--listen", f"127.0.0.1:{member.port}", "--data",
             str(member.folder / "data")]))
        if healthy:
            wait_for(lambda: member.is_healthy, f"{name} to be healthy")
        return member

    def kill(self, name: str) -> None:
        """kill -9."""
        self.members[name].stack.close()
        self.members[name].served = None

    def stop(self, name: str) -> int:
        """TERM; the exit status."""
        served = self.members[name].served
        assert served is not None
        served.signal(signal.SIGTERM)
        status = served.wait()
        self.kill(name)
        return status

    def lose_disk(self, name: str) -> None:
        """All that it had."""
        shutil.rmtree(self.members[name].folder / "data")

    def wait_for_agreement(self, names: str | None = None) -> dict[str, object]:
        """Wait until all have one root; what they hold."""
        running = [member for name, member in self.members.items() if member.served and name in (names or name)]

        def agree() -> bool:
            return len({member.get("/sync/digest")["root"] for member in running}) == 1

        wait_for(agree, "one root at all")
        return running[0].items

    def wait_for_links(self, state: str = "up") -> None:
        """Wait until every running member calls every running one so."""
        running = {name: member for name, member in self.members.items() if member.served}
        wait_for(lambda: all(member.states.get(peer) == state for name, member in running.items()
                             for peer in running if peer != name), f"all links to be {state}")


@contextmanager
def cluster(folder: Path, names: str, *, config: str = CONFIG, start: bool = True) -> Iterator[Cluster]:
    """A group with these members while the block runs."""
    one = Cluster(folder, names, config)
    with ExitStack() as stack:
        stack.callback(lambda: [member.stack.close() for member in one.members.values()])
        if start:
            for name in names:
                one.start(name, healthy=False)
            for member in one.members.values():
                wait_for(lambda member=member: member.is_healthy, f"{member.name} to be healthy")
            one.wait_for_links()
        yield one
