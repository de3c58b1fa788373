from hotpath.shard.cli.documents import ClusterDoc, read
from hotpath.shard.cli.status import line, table

from . import documents
from .screens import drawn


def cluster(**changes):
    return read(documents.cluster(**changes), ClusterDoc)


def test_a_shard_is_a_line():
    lines = drawn(table(cluster())).splitlines()
    assert lines[0] == "blog  embedded · version 7 · stable"
    assert lines[1].split() == ["shard", "state", "share", "slots", "weight", "epoch", "rows", "pool"]
    assert lines[2].split() == ["s0", "active", "█████·····", "50.0", "%", "32,768", "1", "1", "1,240", "1/2/16"]
    assert lines[5].split() == ["s0", "hotpath-blog-s0", "/data/s0.db"]
    assert lines[-1] == "1 router: here pid 4711"


def test_what_is_down_says_so_and_claims_no_rows():
    down = documents.shard("s1", up=False, rows={"posts": None, "users": 6}, pool=None, server=None, address="h:[1]",
                           pid=7)
    text = drawn(table(cluster(shards=[documents.shard("s0"), down])))
    assert text.splitlines()[3].split() == ["s1", "down", "█████·····", "50.0", "%", "32,768", "1", "1", "–", "–"]
    assert text.splitlines()[6].split() == ["s1", "pid", "7", "h:[1]"]
    assert "down: s1" in line(cluster(shards=[documents.shard("s0"), down]))


def test_it_fits_into_eighty_columns():
    full = documents.shard("s" * 12, slots=65536, rows={"posts": 123456789}, state="joining")
    lines = drawn(table(cluster(shards=[full])), width=80).splitlines()
    assert "123,456,789  1/2/16" in lines[2]


def test_a_servers_folder_says_no_more_than_its_address():
    lines = drawn(table(cluster(shards=[documents.shard("s0", server="/data/s0", pid=7)]))).splitlines()
    assert lines[4].split() == ["s0", "pid", "7", "/data/s0.db"]


def test_a_move_stands_below():
    moving = cluster(state="moving", reshard=documents.reshard())
    assert "add s2  copying" in drawn(table(moving))
    assert line(moving) == "blog: moving, version 7, s0 50.0 % s1 50.0 %, add s2 copying"


def test_a_router_behind_is_named():
    routers = [{"id": 1, "host": "a", "pid": 1, "version": 7}, {"id": 2, "host": "b", "pid": 2, "version": 6}]
    assert drawn(table(cluster(routers=routers))).splitlines()[-1] == "2 routers: a pid 1, b pid 2 (version 6)"
    assert drawn(table(cluster(routers=[]))).splitlines()[-1] == "no router runs: hotpath-shard serve"


def test_without_a_fence_it_is_said_what_that_means():
    assert "never added or removed" in drawn(table(cluster(fence=False)))
