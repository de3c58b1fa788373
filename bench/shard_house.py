"""A cluster on real servers, started as its user would, in a folder on a disk; its servers' processes."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hotpath.shard.config import ShardConfig
from hotpath.shard.loading import load_config

from . import machine, processes
from .processes import StartError

COMMAND = str(Path(sys.executable).with_name("hotpath-shard"))
CONFIG = """cluster: bench
listen: 127.0.0.1:{port}
backend: {backend}
pool: {{wait: {wait}}}
data: data
shards: {shards}
fence: {fence}
log: {{access: off}}
tables:
  posts:
    key: id
    columns:
      id: bigint
      author: string(64)
      title: string(200)
      body: text?
      likes: {{type: int, default: 0}}
    indexes: [[author]]
"""


@dataclass(frozen=True, slots=True)
class House:
    """A cluster that is up."""

    file: Path
    config: ShardConfig

    def run(self, *words: str) -> str:
        """What the command prints. Raises StartError."""
        return run(words[0], "--config", str(self.file), *words[1:])

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """The command in the background, its words in a file beside the configuration."""
        with (self.file.parent / "output").open("ab") as output:
            return subprocess.Popen([COMMAND, words[0], "--config", str(self.file), *words[1:]],
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    @property
    def servers(self) -> list[int]:
        """The processes of the database servers; none with SQLite."""
        return [int(path.read_text()) for path in Path(self.config.data).glob("*/server.pid")]

    def login(self, shard: str) -> str:
        """The flag by which MySQL's own programs log in to a shard's server."""
        return f"--defaults-file={Path(self.config.data) / shard / 'client.cnf'}"

    def cpu_s(self) -> float:
        """CPU seconds that the database servers took so far."""
        return sum(processes.cpu(pid).total_s for pid in self.servers)


@contextmanager
def house(folder: Path, *, backend: str = "process", shards: int = 2, fence: bool = True,
          wait: str = "2s") -> Iterator[House]:
    """Up while the block runs; nothing of it stays."""
    folder.mkdir()
    file = folder / "shard.yaml"
    port, = processes.free_ports(1)
    file.write_text(CONFIG.format(backend=backend, shards=shards, fence=str(fence).lower(), port=port,
                                  wait=wait))
    try:
        run("up", "--config", str(file))
        yield House(file, load_config(file))
    finally:
        subprocess.run([COMMAND, "down", "--config", str(file), "--purge"], capture_output=True, check=False)


def run(*words: str) -> str:
    """What a command prints. Raises StartError."""
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StartError(f"hotpath-shard {' '.join(words)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def versions() -> str:
    """Of the servers and drivers."""
    server = machine.first_line("mariadbd", "--version")
    return f"{server.partition('  ')[2] or server}, {machine.packages(['mysql-connector-python'])}"
