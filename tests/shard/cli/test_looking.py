import json
import sqlite3
from types import SimpleNamespace

import pytest

from hotpath.shard.cli import looking
from hotpath.shard.cli.looking import settled, verdict, watch
from hotpath.shard.config import ShardConfig

from . import documents
from .clusters import POSTS
from .screens import terminal


def test_status_is_the_document_or_a_table_of_it(standing):
    document = standing.run("status", "--json").json
    assert set(document) == {"cluster", "version", "backend", "fence", "state", "shards", "reshard", "routers"}
    said = standing.run("status")
    assert said.status == 0
    assert said.out.splitlines()[0] == f"tests  embedded · version {document['version']} · stable"
    assert "no router runs: hotpath-shard serve" in said.out


class Slow:
    """A node one of whose shards takes its time, or is dead."""

    def __init__(self, *, dead):
        self.looks = 0
        self.config = ShardConfig()
        self.directory = self
        self.stats = lambda: SimpleNamespace(up=not dead)

    def shard(self, name):
        return self

    def status(self):
        self.looks += 1
        return documents.cluster(shards=[documents.shard("s0"), documents.shard("s1", up=self.looks > 2)])


def test_who_has_not_answered_yet_is_not_called_dead():
    slow = settled(Slow(dead=False), pause=lambda seconds: None)
    assert [shard["up"] for shard in slow["shards"]] == [True, True]
    dead = settled(Slow(dead=True), pause=lambda seconds: pytest.fail("waits"))
    assert [shard["up"] for shard in dead["shards"]] == [True, False]


def test_owner_says_where_the_row_is(standing):
    found = standing.run("owner", "posts", "7", "--json").json
    assert found["key"] == 7
    with sqlite3.connect(standing.data / f"{found['owner']}.db") as shard:
        assert shard.execute("SELECT id FROM posts WHERE id = 7").fetchall() == [(7,)]
    text = standing.run("owner", "posts", "7").out
    assert text == f"{found['owner']}  slot {found['slot']}, hash {found['hash']}\n"
    assert standing.run("owner", "tags", "a/b %").status == 0, "a key as it is, not as a URL has it"


@pytest.mark.parametrize(("words", "wrong"), [
    (["nope", "1"], "TABLE: 'nope' is not declared; allowed: posts, tags\n"),
    (["posts", "x"], "KEY: 'x' is no key of posts: "),
    (["posts", str(2**63)], "KEY: '9223372036854775808' is no key of posts: "),
    (["tags", "x" * 21], "KEY: 'xxxxxxxxxxxxxxxxxxxxx' is no key of tags: "),
])
def test_a_key_that_no_row_could_have_is_a_mistake(standing, words, wrong):
    said = standing.run("owner", *words)
    assert said.status == 2
    assert said.err.startswith(wrong)


def test_verify_finds_each_row_once(standing):
    assert standing.run("verify").out == f"{POSTS} rows: each on its owner, once\n"
    document = standing.run("verify", "--json").json
    assert document == {"ok": True, "rows": POSTS, "misplaced": 0, "doubled": 0, "missing": 0, "different": 0,
                        "examples": []}


def test_verify_fails_where_a_row_stands_twice(up):
    owner = up.run("owner", "posts", "7", "--json").json["owner"]
    other = "s1" if owner == "s0" else "s0"
    with sqlite3.connect(up.data / f"{owner}.db") as shard:
        row, = shard.execute("SELECT id, author, likes, _hp_slot FROM posts WHERE id = 7").fetchall()
    with sqlite3.connect(up.data / f"{other}.db") as shard:
        shard.execute("INSERT INTO posts (id, author, likes, _hp_slot) VALUES (?, ?, ?, ?)", row)
    shard.close()
    said = up.run("verify")
    assert said.status == 1
    assert "1 doubled" in said.out or "1 misplaced" in said.out
    assert "hotpath-shard verify: see above" in said.err
    assert up.run("verify", "--json").json["ok"] is False


def test_a_verdict_shows_a_few_examples():
    document = {"ok": False, "rows": 2000, "misplaced": 1, "doubled": 0, "missing": 0, "different": 20,
                "examples": [{"table": "posts", "key": n} for n in range(20)]}
    lines = verdict(document).splitlines()
    assert lines[0] == "2,000 rows: 1 misplaced, 0 doubled, 0 missing, 20 different"
    assert lines[1] == '  {"table": "posts", "key": 0}'
    assert len(lines) == 11


class Enough(Exception):
    """Watched for long enough."""


def watched(shown, *, as_json, looks):
    """Watch documents, one for each look."""
    left = iter(looks)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == len(looks):
            raise Enough

    with pytest.raises(Enough):
        watch(lambda: next(left), as_json=as_json, pause=pause)
    return pauses


def test_watching_tells_what_changed(capsys):
    moving = documents.cluster(state="moving", reshard=documents.reshard())
    pauses = watched(None, as_json=False, looks=[documents.cluster(), documents.cluster(), moving])
    assert capsys.readouterr().out.splitlines() == [
        "blog: stable, version 7, s0 50.0 % s1 50.0 %", "blog: moving, version 7, s0 50.0 % s1 50.0 %, add s2 copying"]
    assert pauses[2] < pauses[1], "a move is looked at more often"


def test_watching_as_json_is_a_document_on_each_line(capsys):
    watched(None, as_json=True, looks=[documents.cluster(), documents.cluster()])
    assert [json.loads(line)["version"] for line in capsys.readouterr().out.splitlines()] == [7, 7]


def test_watching_at_a_terminal_draws_in_place(monkeypatch):
    console, written = terminal()
    monkeypatch.setattr(looking, "console", lambda: console)
    watched(console, as_json=False, looks=[documents.cluster(), documents.cluster(version=8)])
    assert "version 8" in written.getvalue()
    assert "\x1b[1A" in written.getvalue()
