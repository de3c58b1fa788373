"""The table is a lattice: merges commute, associate and repeat harmlessly, and equal two sets that forget nothing."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data.lww import LWWTable
from tests.crdt.oracle import Oracle, state_of
from tests.crdt.strategies import BIAS, CELLS, HLCS, KEYS, NAMES, WORLDS
from tests.crdt.twinbytes import Stamp, bundle, encode, parse


def table_of(bias, *worlds, name="a"):
    table = LWWTable(name, bias=bias)
    for world in worlds:
        table.merge(bundle(world, bias))
    return table


def told(bias, *worlds):
    oracle = Oracle(bias)
    for world in worlds:
        oracle.record_all(world)
    return oracle


def same(one, other):
    return state_of(one) == state_of(other) and one.digest() == other.digest() and one.root == other.root


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_merge_is_commutative(bias, x, y):
    assert same(table_of(bias, x, y), table_of(bias, y, x))


@given(bias=BIAS, x=WORLDS, y=WORLDS, z=WORLDS)
def test_merge_is_associative(bias, x, y, z):
    left, right, inner = table_of(bias, x), table_of(bias, x), table_of(bias, y)
    left.merge(bundle(y, bias))
    left.merge(bundle(z, bias))
    inner.merge(bundle(z, bias))
    right.merge(inner)
    assert same(left, right)


@given(bias=BIAS, x=WORLDS)
def test_merge_is_idempotent(bias, x):
    table = table_of(bias, x)
    before = state_of(table), table.digest(), table.stats()["bytes"]
    assert table.merged(bundle(x, bias)) == (0, len(x), 0)
    assert table.merge(table) == 0
    assert (state_of(table), table.digest(), table.stats()["bytes"]) == before


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_merge_only_goes_up(bias, x, y):
    table = table_of(bias, x)
    before = state_of(table)
    table.merge(bundle(y, bias))
    after, order = state_of(table), Oracle(bias).order
    assert all(order(after[key]) >= order(write) for key, write in before.items())


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_merge_is_the_least_upper_bound(bias, x, y):
    both = state_of(table_of(bias, x, y))
    parts = [state_of(table_of(bias, world)) for world in (x, y)]
    assert all(any(part.get(key) == write for part in parts) for key, write in both.items())
    assert both.keys() == parts[0].keys() | parts[1].keys()


@given(bias=BIAS, worlds=st.lists(WORLDS, max_size=4))
def test_any_merges_equal_the_two_sets(bias, worlds):
    table, oracle = table_of(bias, *worlds), told(bias, *worlds)
    assert state_of(table) == oracle.state()
    assert len(table) == len(oracle.live())
    assert {key for key, *_ in table.page(b"", None, 1000)} == oracle.live().keys()
    for key in oracle.keys() | {b"never"}:
        assert table.lookup(key) == oracle.value(key)
        assert (key in table) is (key in oracle.live())


@given(bias=BIAS, x=WORLDS, data=st.data())
def test_the_order_of_arrival_leaves_no_trace(bias, x, data):
    shuffled = data.draw(st.permutations(x))
    one_by_one = LWWTable("b", bias=bias)
    for cell in shuffled:
        one_by_one.merge(bundle([cell], bias))
    assert same(table_of(bias, x), one_by_one)


@given(bias=BIAS, key=KEYS, hlc=HLCS, name=NAMES, payloads=st.sets(st.binary(max_size=3), min_size=2))
def test_cloned_names_with_equal_stamps_agree_by_payload(bias, key, hlc, name, payloads):
    clones = [encode(key, Stamp(hlc, name), True, b"\0" + payload) for payload in payloads]
    table, other = table_of(bias, clones), table_of(bias, clones[::-1])
    assert same(table, other)
    assert table.lookup(key) == max(payloads)


@given(bias=BIAS, key=KEYS, hlc=HLCS, names=st.tuples(NAMES, NAMES))
def test_the_bias_decides_before_the_name(bias, key, hlc, names):
    added = encode(key, Stamp(hlc, names[0]), True, b"\0v")
    removed = encode(key, Stamp(hlc, names[1]), False, b"")
    for world in ([added, removed], [removed, added]):
        assert (key in table_of(bias, world)) is (bias == "add")


@given(bias=BIAS, key=KEYS, hlc=HLCS, payload=st.binary(max_size=3))
def test_a_greater_name_wins_where_clock_and_kind_are_equal(bias, key, hlc, payload):
    lesser = encode(key, Stamp(hlc, "b"), True, b"\0" + payload + b"\xff")
    greater = encode(key, Stamp(hlc, "ba"), True, b"\0" + payload)
    for world in ([lesser, greater], [greater, lesser]):
        assert str(table_of(bias, world).stamp(key)) == str(Stamp(hlc, "ba"))


@given(bias=BIAS, x=WORLDS, cell=CELLS)
def test_apply_says_whether_the_cell_won(bias, x, cell):
    table, source = table_of(bias, x), table_of(bias, [cell], name="b")
    key, _, _, _ = parse(cell)
    before = state_of(table)
    won = table.apply(source.cell(key))
    assert won is (state_of(table) != before)
    assert state_of(table) == told(bias, x, [cell]).state()


@given(bias=BIAS, x=WORLDS, y=WORLDS)
def test_every_cell_is_applied_ignored_or_stale(bias, x, y):
    table = table_of(bias, x)
    counted = table.stats()
    fates = table.merged(bundle(y, bias))
    assert sum(fates) == len(y)
    now = table.stats()
    assert tuple(now[name] - counted[name] for name in ("applied", "ignored", "stale")) == fates


@given(bias=BIAS, x=WORLDS, upto=HLCS)
def test_collect_drops_the_tombstones_up_to_there_and_nothing_else(bias, x, upto):
    table = table_of(bias, x)
    before = state_of(table)
    old = {key for key, write in before.items() if not write.live and write.hlc <= upto}
    assert table.collect(upto) == len(old)
    assert state_of(table) == {key: write for key, write in before.items() if key not in old}
    assert table.floor == upto
    assert same(table, table_of(bias, [encode(key, Stamp(write.hlc, write.replica), write.live, write.payload)
                                       for key, write in state_of(table).items()]))


@given(bias=BIAS, x=WORLDS, y=WORLDS, upto=HLCS)
def test_what_is_absent_and_below_the_floor_is_stale(bias, x, y, upto):
    table = table_of(bias, x)
    table.collect(upto)
    before = state_of(table)
    table.merge(bundle(y, bias))
    came = state_of(table).keys() - before.keys()
    assert all(state_of(table)[key].hlc > upto for key in came)


@given(bias=BIAS, x=WORLDS, upto=HLCS)
def test_collecting_where_all_is_seen_resurrects_nothing(bias, x, upto):
    table, late = table_of(bias, x), table_of(bias, x, name="b")
    table.collect(upto)
    assert table.merge(bundle(x, bias)) == 0
    late.merge(table)
    table.merge(late)
    for one in (table, late):
        one.collect(upto)
    assert same(table, late)
    assert {key for key, write in state_of(table).items() if write.live} == told(bias, x).live().keys()


@given(bias=BIAS, uptos=st.lists(HLCS, min_size=1))
def test_the_floor_only_rises(bias, uptos):
    table = LWWTable("a", bias=bias)
    for upto in uptos:
        table.collect(upto)
    assert table.floor == max(uptos)


WALLS = st.lists(st.integers(0, 2**40), min_size=1, max_size=8)


@given(walls=WALLS)
def test_stamps_rise_however_the_wall_clock_jumps(walls):
    now = iter(walls)
    table = LWWTable("a", wall_ms=lambda: next(now))
    stamps = [table.put("k", number) for number in range(len(walls))]
    assert stamps == sorted(set(stamps))
    assert all(stamp.hlc >= wall << 16 for stamp, wall in zip(stamps, walls, strict=True))
    assert table.clock == stamps[-1].hlc


@given(bias=BIAS, hlc=st.integers(0, 2**62), name=NAMES, removed=st.booleans(), wall=st.integers(0, 2**40),
       removes=st.booleans())
def test_a_write_that_saw_another_wins_over_it(bias, hlc, name, removed, wall, removes):
    seen = encode(b"k", Stamp(hlc, name), not removed, b"" if removed else b"\1null")
    table = LWWTable("a", bias=bias, wall_ms=lambda: wall)
    table.merge(bundle([seen], bias))
    mine = table.remove("k") if removes else table.put("k", 1)
    assert mine.hlc > hlc
    assert table.stamp("k") == mine
    other = table_of(bias, [seen], name="b")
    other.merge(table)
    assert other.stamp("k") == mine


@given(hlcs=st.lists(st.integers(0, 2**62), max_size=6))
def test_the_clock_is_raised_by_what_it_observes_and_never_lowered(hlcs):
    table = LWWTable("a", wall_ms=lambda: 0)
    for hlc in hlcs:
        table.observe(hlc)
    assert table.clock == max(hlcs, default=0)
    assert table.tick() == max(hlcs, default=0) + 1


@given(bias=BIAS, x=WORLDS, upto=st.integers(0, 2**62))
def test_a_write_behind_a_collection_is_news_to_everyone_with_that_floor(bias, x, upto):
    table, other = LWWTable("a", bias=bias, wall_ms=lambda: 0), table_of(bias, x, name="b")
    table.merge(bundle(x, bias))
    table.collect(upto)
    other.collect(upto)
    table.put("new", 1)
    other.merge(table)
    assert "new" in other
