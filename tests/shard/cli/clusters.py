"""A small embedded cluster, and the command on it."""
from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hotpath.shard import Cluster
from hotpath.shard.command import main
from tests.waiting import wait_for

COMMAND = [sys.executable, "-P", "-m", "hotpath.shard"]
CONFIG = """cluster: tests
data: data
shards: 2
tables:
  posts:
    key: id
    columns: {id: bigint, author: string(64), likes: {type: int, default: 0}}
  tags:
    key: name
    columns: {name: string(20), raw: "binary(8)?"}
"""
POSTS = 400


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed."""
        return json.loads(self.out)


class Place:
    """The cluster of one file."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "shard.yaml"
        self.data = folder / "data"
        if not self.file.exists():
            self.file.write_text(CONFIG)
        self._capsys = capsys

    def run(self, *words: str) -> Said:
        """The command, in this process."""
        self._capsys.readouterr()
        status = main(self.words(*words))
        out, err = self._capsys.readouterr()
        return Said(status, out, err)

    def words(self, *words: str) -> Sequence[str]:
        """Its command line."""
        return [words[0], "--config", str(self.file), *words[1:]]

    def fill(self) -> None:
        """Put rows in."""
        with Cluster.open(self.file) as cluster:
            made = cluster.table("posts").insert_many([{"id": i, "author": f"a{i % 7}"} for i in range(POSTS)])
            assert made.inserted == POSTS

    def status(self) -> Any:
        """The document."""
        return self.run("status", "--json").json

    def over(self, state: str = "done") -> None:
        """Return once no reshard runs any more, and the last one ended so."""
        wait_for(lambda: self.status()["reshard"] is None, "the end of the reshard", 60)
        with Cluster.open(self.file) as cluster:
            reshard = cluster.reshard()
            assert reshard is not None
            assert reshard.progress()["state"] == state

    def names(self) -> list[str]:
        """Of the shards."""
        return [shard["name"] for shard in self.status()["shards"]]
