"""A crowd talks while parts die at random: did anybody lose, double or swap anything?

    PYTHONPATH=. .venv/bin/python -P -m tests.faults.chat_storm --seconds 120 --clients 1000 --people 32
"""
from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chat.crowd import Crowd
from tests.chat.house import House, OwnRedis, house, merged, watching
from tests.chat.parts import EMBEDDED, REAL, real_parts
from tests.faults.chat_faults import Faults

CONFIG: dict[str, Any] = {
    "database": {"busy": "1s"},
    "gateways": {"head_check": "500ms", "drain": "1s"},
    "limits": {"queue_soft": "16k", "queue_hard": "64k", "queue_age": "2s"},
}


@dataclass
class Storm:
    """One storm: ends after `seconds`, or after the faults named in `plan`."""

    folder: Path
    seed: int
    people: int = 6
    channels: int = 4
    clients: int = 24
    talkers: int = 6
    wanderers: int = 2
    pause_s: float = 0.05
    resume_max: int = 1000
    seconds: float = 0.0
    plan: list[str] = field(default_factory=list)
    own_redis: OwnRedis | None = None
    database: Any = None            # a server with `kill` and `start`; its `url` is in the config then
    counts: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0            # from the end of a fault until everybody had everything

    async def run(self, home: House, watcher: Any) -> dict[str, Any]:
        """The checker's verdict."""
        crowd = Crowd(home.url, self.folder, seed=self.seed, people=self.people, channels=self.channels,
                      clients=self.clients)
        faults = Faults(home, crowd, seed=self.seed, own_redis=self.own_redis,
                        kill_database=self.restart_database if self.database else None)
        try:
            await crowd.enter()
            crowd.talk(self.talkers, self.pause_s)
            crowd.wander(self.wanderers, 4 * self.pause_s)
            until_s = time.monotonic() + self.seconds
            names = sorted(faults.all)
            while self.plan or time.monotonic() < until_s:
                name = self.plan.pop(0) if self.plan else faults.random.choice(names)
                print(f"{time.strftime('%X')} {name}", flush=True)
                await faults.happen(name)
                begun_s = time.monotonic()
                await crowd.level()
                self.worst_s = max(self.worst_s, time.monotonic() - begun_s)
                self.counts[name] += 1
            path = await crowd.finish()
            verdict = await asyncio.to_thread(watcher.judge, path, resume_max=self.resume_max)
            verdict["answers"] = dict(sorted(crowd.answers.items()))
            verdict["closes"] = dict(Counter(code for client in crowd.clients for code in client.codes))
            return verdict
        finally:
            await crowd.leave()

    def restart_database(self) -> None:
        """kill -9."""
        self.database.kill()
        self.database.start()


def storm(given: Storm, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the house, let it happen, tell the verdict."""
    with ExitStack() as stack:
        limits = {"gateways": {"resume_max": given.resume_max}}
        home = stack.enter_context(house(given.folder, merged(CONFIG, merged(limits, config or {}))))
        watcher = stack.enter_context(watching(home))
        verdict = asyncio.run(given.run(home, watcher))
        verdict["faults"] = dict(sorted(given.counts.items()))
        assert home.stop() == 0, home.said()
        return verdict


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="A crowd talks while parts of a real chat die at random.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--talkers", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.2, metavar="SECONDS", help="of a talker between two messages")
    parser.add_argument("--wanderers", type=int, default=3, help="people who leave channels and come back")
    parser.add_argument("--resume-max", type=int, default=1000)
    parser.add_argument("--ring", type=int, default=256)
    parser.add_argument("--real", action="store_true", help="mariadbd and redis-server, two API processes")
    parser.add_argument("--faults", default="", metavar="NAME,…", help="these, in this order, instead of random ones")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="hotpath-storm-") as folder, \
            real_parts(REAL if asked.real else EMBEDDED, Path(folder)) as parts:
        given = Storm(
            Path(folder) / "storm", asked.seed, people=asked.people, channels=asked.channels, clients=asked.clients,
            talkers=asked.talkers, wanderers=asked.wanderers, pause_s=asked.pause, resume_max=asked.resume_max,
            seconds=0.0 if asked.faults else asked.seconds, plan=[name for name in asked.faults.split(",") if name],
            own_redis=parts.redis, database=parts.database)
        more = {"workers": 2 if asked.real else 1, "gateways": {"ring": asked.ring}}
        verdict = storm(given, merged(parts.config, more))
    for kind, text in verdict["violations"][:50]:
        print("VIOLATION", kind, text)
    for key, value in verdict.items():
        if key != "violations":
            print(f"{key:14} {value}")
    print(f"worst_level_s  {given.worst_s:.2f}")
    return 1 if verdict["n_violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
