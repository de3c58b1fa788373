import pytest

from bench import crdt_threads
from hotpath.crdt import LWWDict


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return crdt_threads.built(tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("same_keys", [False, True])
def test_c_and_python_merge_to_the_same_table_in_one_thread_and_in_two(native, same_keys):
    work = crdt_threads.Work.of(200, same_keys=same_keys)
    roots = {native.merge(work.base, work.split(n))[2] for n in (1, 2)}
    roots |= {crdt_threads.in_python(work, n).root for n in (1, 2)}
    assert len(roots) == 1


def test_one_thread_gets_the_deltas_of_both_in_turns():
    work = crdt_threads.Work.of(10, same_keys=True)
    [alone] = work.split(1)
    assert alone[::2] == work.deltas[0]
    assert alone[1::2] == work.deltas[1]
    assert work.cells == sum(LWWDict("x").examine(delta)[0] for delta in alone)


def test_a_merge_that_fails_in_c_is_an_error(native):
    with pytest.raises(RuntimeError, match="failed"):
        native.merge(crdt_threads.Work.of(10, same_keys=True).base, [[b"no delta"]])


def test_reads_beside_merges_are_seen_by_both(native):
    keys = [b"key:%012d" % i for i in range(64)]
    base, deltas = crdt_threads.delta_of(keys, 1, seed=0), [crdt_threads.delta_of(keys, 1000, seed=1)] * 3
    progressed, lookups, took_s = native.read_beside(base, deltas, keys)
    assert 0 <= progressed <= 3
    assert lookups > 0
    assert took_s > 0
    watched = crdt_threads.read_in_python(base, deltas, keys)
    assert 0 <= watched.share <= 1
    assert watched.each_s > 0


def test_merging_again_allocates_nothing():
    assert crdt_threads.allocations(2000) == (0, 0)


def test_a_gain_is_a_share_of_what_c_gains_where_c_gains_anything():
    assert crdt_threads.share_of(1.4, 1.8) == pytest.approx(0.5)
    assert crdt_threads.share_of(0.9, 1.8) < 0
    assert crdt_threads.share_of(1.0, 1.0) is None
