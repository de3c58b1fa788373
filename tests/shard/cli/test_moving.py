"""`add`, `remove` and what steers them, on a cluster without a router: the command sees to it that somebody moves."""
import os
import signal
from types import SimpleNamespace

import pytest

from hotpath.shard import Cluster, ReshardConflict
from hotpath.shard.cli.moving import current
from tests.waiting import running, wait_for

from . import documents
from .clusters import COMMAND, POSTS


def test_a_shard_is_added_and_removed_again(up):
    said = up.run("add", "s2", "--rate", "0")
    assert said.status == 0
    assert said.out.startswith("s2 is in: ")
    assert said.err.splitlines()[0].startswith("add s2: ")
    assert said.err.splitlines()[-1].startswith("add s2: done, copied 100.0 % verified 100.0 % cleaned 100.0 % of ")
    assert up.names() == ["s0", "s1", "s2"]
    assert up.run("verify").status == 0
    document = up.run("remove", "s0", "--json").json
    assert (document["state"], document["kind"], document["shard"]) == ("done", "remove", "s0")
    assert up.names() == ["s1", "s2"]
    assert up.run("verify", "--json").json["rows"] == POSTS


def test_a_dry_run_tells_and_changes_nothing(standing):
    said = standing.run("add", "s2", "--weight", "2", "--dry-run")
    assert said.status == 0
    first, *moves = said.out.splitlines()
    assert first.startswith("add s2 would move ")
    assert [move.split(":")[0] for move in moves] == ["  s0 → s2", "  s1 → s2"]
    assert standing.names() == ["s0", "s1"]
    assert standing.run("add", "s2", "--dry-run", "--json").json["slots"]["total"] > 10_000


def test_held_it_waits_for_a_word(up):
    said = up.run("add", "s2", "--hold")
    assert said.status == 0
    assert said.out.splitlines() == ["add s2 is held: all is copied and verified",
                                     f"finish it: hotpath-shard complete --config {up.file}",
                                     f"take it back: hotpath-shard cancel --config {up.file}"]
    assert up.run("add", "s3").err.startswith("hotpath-shard add: adding s2 is under way (verified)")
    assert up.run("complete", "--json").json["hold"] is False
    up.over()
    assert up.names() == ["s0", "s1", "s2"]


def test_a_cancelled_one_leaves_no_trace(up):
    assert up.run("add", "s2", "--hold").status == 0
    said = up.run("cancel")
    assert said.status == 0
    assert said.out.startswith("add s2: cancelling, ")
    up.over("cancelled")
    assert up.names() == ["s0", "s1"]
    assert up.run("verify", "--json").json == {"ok": True, "rows": POSTS, "misplaced": 0, "doubled": 0, "missing": 0,
                                               "different": 0, "examples": []}
    assert up.run("add", "s2", "--dry-run").status == 0, "its name can be used again"


def test_detached_it_goes_on_behind_the_command(up):
    said = up.run("add", "s2", "--detach")
    assert said.status == 0
    assert f"look: hotpath-shard status --config {up.file} --watch\n" in said.out
    up.over()
    assert up.run("verify").status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_move_outlives_the_command(up, number):
    with running([*COMMAND, *up.words("add", "s2", "--rate", "10")]) as command:
        command.wait_for_output("^add s2: (opening|copying), ", 60)
        os.kill(command.pid, number)
        status = command.wait()
        if number == signal.SIGINT:
            assert status == 0
            assert "add s2 goes on\nlook: hotpath-shard status --config " in command.output
    assert up.run("throttle", "0").status == 0
    up.over()
    assert up.run("verify").status == 0


def test_paused_it_stands_still_until_it_is_resumed(up):
    assert up.run("add", "s2", "--detach", "--rate", "50").status == 0
    said = up.run("pause")
    assert said.status == 0
    assert ", paused" in said.out
    wait_for(lambda: up.status()["reshard"]["paused"], "the pause")
    assert up.run("throttle", "0", "--json").json["rate"]["limit"] == 0
    assert up.run("resume").status == 0
    up.over()


@pytest.mark.parametrize("word", ["pause", "resume", "complete", "cancel", "throttle"])
def test_without_a_reshard_there_is_nothing_to_steer(standing, word):
    said = standing.run(word, *(["5"] if word == "throttle" else []))
    assert (said.status, said.out) == (1, "")
    assert said.err == f"hotpath-shard {word}: no reshard runs\n"


@pytest.mark.parametrize(("words", "status", "wrong"), [
    (["add", "s0"], 1, "hotpath-shard add: s0 is a shard already\n"),
    (["add", "s2", "--dsn", "mysql://u:p@h:1/d"], 2, "--dsn: not with backend embedded; allowed: with backend dsn\n"),
    (["remove", "s7"], 1, "hotpath-shard remove: no shard is called 's7'; there are: s0, s1\n"),
])
def test_a_refusal_says_why(standing, words, status, wrong):
    assert standing.run(*words) == (status, "", wrong)


def test_another_reshard_is_not_taken_for_ours():
    node = SimpleNamespace(admin=SimpleNamespace(document=documents.reshard))
    assert current(node, "r1")["shard"] == "s2"
    with pytest.raises(ReshardConflict, match="another reshard than r0 has begun since"):
        current(node, "r0")


def test_where_a_router_lives_it_is_left_to_the_router(up):
    with Cluster.open(up.file):
        assert up.run("add", "s2").status == 0
    assert not (up.data / "carrier.log").exists()
