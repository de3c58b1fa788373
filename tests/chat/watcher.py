"""The checker's process: taps Redis while a run goes on, and judges the run when told to.

`python -P -m tests.chat.watcher RUN.JSON DATA PREFIX` says `tapping` once it does; for each line `check HISTORY
RESUME_MAX` on its input it answers with one line of JSON: {violations: [[kind, text]], tapped, acked, delivered}.
"""
from __future__ import annotations

import http.client
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import redis

from tests.chat.checker import Violation, check_all
from tests.chat.history import read_history
from tests.chat.rows import Database, Table, read_table
from tests.chat.story import read_story

# As topics.py describes it: version, kind, flags, channel, seq, actor, subject.
HEAD = struct.Struct("<BBB5xQQQQ")
EVENT = 1
MAX_TOLD = 200


class Tap(threading.Thread):
    """Asks of each event on Redis, the moment it is seen, whether its row is there."""

    def __init__(self, url: str, prefix: str, database: Database) -> None:
        super().__init__(daemon=True)
        self.redis_url, self.prefix, self.database = url, prefix, database
        self.tapping = threading.Event()
        self.early: list[str] = []
        self.n_seen = 0

    def run(self) -> None:
        """For ever; Redis comes and goes."""
        while True:
            try:
                with redis.Redis.from_url(self.redis_url, socket_timeout=5, retry=None) as client:
                    pubsub = client.pubsub()
                    pubsub.psubscribe(self.prefix + "c:*")
                    while True:
                        self.see(pubsub.get_message(timeout=1.0))
            except (redis.RedisError, OSError):
                threading.Event().wait(0.05)

    def see(self, message: dict[str, Any] | None) -> None:
        """One message of the subscription."""
        if message is not None and message["type"] == "psubscribe":
            self.tapping.set()
        if message is None or message["type"] != "pmessage" or len(message["data"]) < HEAD.size:
            return
        _, kind, _, channel, seq, _, _ = HEAD.unpack_from(message["data"])
        if kind != EVENT:
            return
        self.n_seen += 1
        try:
            rows = self.database.select("SELECT 1 FROM events WHERE channel_id = ? AND seq = ?", (channel, seq))
        except Exception:       # the database may be away: then nobody knows
            return
        if not rows:
            self.early.append(f"{channel}/{seq} was published before its row was there")


class Fetcher:
    """GETs of one API, by anybody's token."""

    def __init__(self, url: str) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)

    def get(self, path: str, token: str) -> Any:
        """The JSON of a 200."""
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer.status} {body[:300]!r}")
        return msgspec.json.decode(body)

    def counts(self, people: dict[int, tuple[str, str]]) -> dict[tuple[int, int], tuple[int, int]]:
        """(channel, user): unread and mentions."""
        return {(row["id"], user): (row["member"]["unread"], row["member"]["mentions"])
                for user, (_, token) in people.items()
                for row in self.get("/api/channels?scope=mine", token)["channels"]}

    def messages(self, people: dict[int, tuple[str, str]], table: Table) -> dict[int, list[dict[str, Any]]]:
        """channel: all its messages, seen by one of its members."""
        reader = {channel: people[user][1] for channel, user in table.members if user in people}
        fetched: dict[int, list[dict[str, Any]]] = {}
        for channel, token in reader.items():
            fetched[channel], after, more = [], 0, True
            while more:
                page = self.get(f"/api/channels/{channel}/messages?after={after}&limit=200", token)
                fetched[channel] += page["messages"]
                more = page["more_after"] and page["messages"]
                after = page["messages"][-1]["seq"] if page["messages"] else after
        return fetched


def judge(run: dict[str, Any], data: Path, history: Path, resume_max: int, tap: Tap) -> dict[str, Any]:
    """All checks, over what is there now."""
    story = read_story(read_history(history))
    table = read_table(Database(run["database"]["url"], data))
    fetcher = Fetcher(run["api"]["url"])
    found = check_all(story, table, counts=fetcher.counts(story.people), fetched=fetcher.messages(story.people, table),
                      early=tap.early, resume_max=resume_max)
    return {"violations": found[:MAX_TOLD], "n_violations": len(found), "tapped": tap.n_seen,
            "acked": sum(bool(send.acked) for send in story.sends.values()),
            "retried": sum(send.tries for send in story.sends.values()),
            "delivered": sum(item[0] == "e" for connection in story.connections.values() for item in connection.items),
            "connections": len(story.connections), "events": sum(table.heads.values())}


def main() -> int:
    """The command."""
    run_path, data, prefix = sys.argv[1:]
    run = msgspec.json.decode(Path(run_path).read_bytes())
    tap = Tap(run["redis"]["url"], prefix, Database(run["database"]["url"], Path(data)))
    tap.start()
    tap.tapping.wait()
    print("tapping", flush=True)
    for line in sys.stdin:
        _, history, resume_max = line.split()
        run = msgspec.json.decode(Path(run_path).read_bytes())
        try:
            verdict = judge(run, Path(data), Path(history), int(resume_max), tap)
        except Exception as error:      # whoever asked must hear of it, not of a closed pipe
            verdict = {"violations": [Violation("checker", f"{type(error).__name__}: {error}")], "n_violations": 1}
        print(msgspec.json.encode(verdict).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
