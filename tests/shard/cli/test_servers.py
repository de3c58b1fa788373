from hotpath.shard import Cluster

from .clusters import POSTS


def test_up_shows_what_stands_and_changes_nothing_the_second_time(place):
    first = place.run("up")
    assert first.status == 0
    assert first.out.startswith("tests  embedded · version 1 · stable\n")
    place.fill()
    again = place.run("up")
    assert again.status == 0
    assert [shard["rows"]["posts"] > 0 for shard in place.status()["shards"]] == [True, True]


def test_down_keeps_the_data_and_says_how_to_go_on(up):
    said = up.run("down")
    assert said.status == 0
    assert said.out == f"tests: down; its data stay, and it starts again with: hotpath-shard up --config {up.file}\n"
    assert up.run("up").status == 0
    assert sum(shard["rows"]["posts"] for shard in up.status()["shards"]) == POSTS


def test_purge_leaves_nothing(up):
    assert up.run("add", "s2").status == 0
    assert up.run("down", "--purge").out == "tests: down, its data deleted\n"
    assert not up.data.exists()
    assert up.run("down", "--purge").status == 0, "nothing is no mistake"


def test_a_router_that_still_runs_is_named(up):
    with Cluster.open(up.file):
        said = up.run("down")
    assert "a router still runs (pid " in said.err


def test_nothing_is_up_before_up(place):
    for command in (["status"], ["verify"], ["pause"], ["add", "s2"], ["owner", "posts", "1"], ["bench"]):
        said = place.run(*command)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith(f"hotpath-shard {command[0]}: ")
        assert "hotpath-shard up" in said.err


def test_a_map_that_cannot_be_read_may_be_down(place, port):
    text = place.file.read_text().replace("shards: 2", f"""backend: dsn
shards: [{{name: s0, dsn: "mysql://u:secret@127.0.0.1:{port}/d"}}]""")
    place.file.write_text(text)
    said = place.run("status")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("hotpath-shard status: the map of the cluster cannot be read: ")
    assert said.err.endswith(f"; if it is down, start it: hotpath-shard up --config {place.file}\n")
    assert "secret" not in said.err


def test_what_may_never_change_is_refused_with_what_to_do(up):
    text = up.file.read_text()
    up.file.write_text(f"{text}vnodes: 7\n")
    said = up.run("up")
    assert said.status in (1, 2)
    assert "vnodes" in said.err
