"""Many threads, one table: the greatest stamp wins everywhere, no read goes back, and no count is off."""
import random
import threading
from contextlib import suppress

import pytest

from hotpath.core.data import lww
from hotpath.core.data.lww import Damaged, KeyExists, LWWTable
from tests.core.data.threading_lww import (
    Recorder,
    counted,
    foreign_cells,
    key_number,
    recounted,
    run_together,
)
from tests.crdt.checker import check_adds, check_linearizable, check_rising, check_saw, check_unique
from tests.crdt.oracle import Oracle, state_of
from tests.crdt.twinbytes import Stamp, bucket_of, encode, parse
from tests.waiting import DEADLINE_S, wait_for

KEYS = [key_number(number) for number in range(12)]
WALL_MS = 1_000


def fresh(bias="add"):
    return LWWTable("m", bias=bias, wall_ms=lambda: WALL_MS)


def whole(recorders):
    return [op for recorder in recorders for op in recorder.history]


def oracle_of(bias, recorders):
    oracle = Oracle(bias)
    for recorder in recorders:
        oracle.record_all(recorder.cells)
    return oracle


def busy_writer(recorder, seed, count):
    """Writes of all kinds, and a read between."""
    rng = random.Random(seed)
    ops = ("put", "put", "add", "remove")

    def job():
        for number in range(count):
            op, key = rng.choice(ops), rng.choice(KEYS)
            recorder.write(op, key, b"" if op == "remove" else b"\0%d" % number)
            recorder.read(rng.choice(KEYS))
    return job


def busy_reader(recorder, seed, count):
    rng = random.Random(seed)

    def job():
        for _ in range(count):
            recorder.read(rng.choice(KEYS))
    return job


def busy_merger(recorder, seed, count):
    """Batches that are large enough to be merged without the GIL; some cells are far ahead of the local clock."""
    rng = random.Random(seed)

    def job():
        for _ in range(count):
            clock = recorder.table.clock
            recorder.merge(foreign_cells(rng, KEYS, 80, f"f{seed}", range(max(1, clock - 5_000), clock + 5_000)))
    return job


@pytest.mark.parametrize("bias", ["add", "remove"])
def test_the_final_state_is_the_greatest_of_all_stamped_writes(bias):
    table = fresh(bias)
    recorders = [Recorder(table) for _ in range(6)]
    run_together(*(busy_writer(recorder, seed, 600) for seed, recorder in enumerate(recorders[:3])),
                 *(busy_merger(recorder, seed, 40) for seed, recorder in enumerate(recorders[3:], 3)))
    assert state_of(table) == oracle_of(bias, recorders).state()
    assert counted(table) == recounted(table)


def test_recorded_histories_are_linearizable_key_by_key():
    table = fresh()
    recorders = [Recorder(table) for _ in range(6)]
    run_together(*(busy_writer(recorder, seed, 500) for seed, recorder in enumerate(recorders[:2])),
                 *(busy_merger(recorder, seed, 40) for seed, recorder in enumerate(recorders[2:4], 2)),
                 *(busy_reader(recorder, seed, 1500) for seed, recorder in enumerate(recorders[4:], 4)))
    history = whole(recorders)
    check_linearizable(history)
    check_saw(history)


def test_writers_of_one_table_never_share_a_stamp():
    table = fresh()
    recorders = [Recorder(table) for _ in range(4)]
    run_together(*(busy_writer(recorder, seed, 800) for seed, recorder in enumerate(recorders)))
    check_unique(cell for recorder in recorders for cell in recorder.cells)
    for recorder in recorders:
        check_rising(recorder.cells)
    check_adds(whole(recorders))
    check_saw(whole(recorders))


def test_of_racing_adds_exactly_one_wins():
    table = fresh()
    rounds = [key_number(number) for number in range(300)]
    outcomes = [[], [], [], []]

    def adder(mine):
        def job():
            for key in rounds:
                try:
                    mine.append(parse(table.write("add", key, b"\0" + key))[1])
                except KeyExists as error:
                    mine.append(error.stamp)
        return job

    run_together(*map(adder, outcomes))
    for number, key in enumerate(rounds):
        stamps = {str(mine[number]) for mine in outcomes}
        assert stamps == {str(table.stamp(key))}
    assert table.stats()["applied"] == len(rounds)


def test_adds_that_race_with_merges_and_removals_find_the_key_dead():
    table = fresh()
    recorders = [Recorder(table) for _ in range(5)]

    def adder(recorder):
        def job():
            for _ in range(600):
                recorder.write("add", b"k", b"\0")
        return job

    def remover(recorder):
        def job():
            for _ in range(600):
                recorder.write("remove", b"k")
        return job

    run_together(*map(adder, recorders[:3]), remover(recorders[3]), busy_merger(recorders[4], 4, 30))
    check_adds(whole(recorders))
    check_linearizable(whole(recorders))


def test_a_reader_goes_on_beside_a_merge():
    table = LWWTable("m")
    table.put("seen", 1)
    reads = [0]
    stop = threading.Event()
    generation = [0]

    def reader():
        while not stop.is_set():
            table.lookup("seen")
            reads[0] += 1

    def merged_beside_reads():
        generation[0] += 1
        stamp = Stamp(generation[0], "f")
        delta = lww.bundle([encode(key_number(number), stamp, True, b"\0") for number in range(20_000)], "add")
        before = reads[0]
        table.merge(delta)
        return reads[0] - before > 100

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    try:
        wait_for(lambda: reads[0], "the first read")
        wait_for(merged_beside_reads, "reads to go on while a merge is under way")
    finally:
        stop.set()
        thread.join(DEADLINE_S)


def test_a_table_that_grows_loses_and_hides_nothing():
    table = fresh()
    per_thread, step = 6_000, 500
    shown = [[0] for _ in range(3)]
    recorders = [Recorder(table) for _ in range(3)]
    done = threading.Event()

    def name(thread, number):
        return b"%d-%d" % (thread, number)

    def filler(thread):
        def job():
            for start in range(0, per_thread, step):
                numbers = range(start, start + step)
                if thread == 0:
                    for number in numbers:
                        recorders[0].cells.append(table.write("put", name(0, number), b"\0"))
                else:
                    cells = [encode(name(thread, number), Stamp(number + 1, f"f{thread}"), True, b"\0")
                             for number in numbers]
                    table.merge(lww.bundle(cells, "add"))
                    recorders[thread].cells += cells
                shown[thread][0] = start + step
        return job

    def reader(seed):
        rng = random.Random(seed)

        def job():
            while not done.is_set():
                thread = rng.randrange(3)
                if upto := shown[thread][0]:
                    key = name(thread, rng.randrange(upto))
                    assert table.read(key) is not None, key
        return job

    fillers = [filler(thread) for thread in range(3)]
    left = [len(fillers)]

    def counted_down(job):
        def run():
            try:
                job()
            finally:
                left[0] -= 1
                if not left[0]:
                    done.set()
        return run

    run_together(*map(counted_down, fillers), reader(1), reader(2))
    assert len(table) == 3 * per_thread
    assert state_of(table) == oracle_of("add", recorders).state()
    assert counted(table) == recounted(table)


def test_a_table_filled_with_removals_stays_findable():
    table = fresh()
    keys = [key_number(number) for number in range(3_000)]

    def churner(part):
        def job():
            for key in part:
                table.write("put", key, b"\0")
                table.write("remove", key)
        return job

    def collector():
        for _ in range(40):
            table.collect(table.clock)

    run_together(*(churner(keys[start::3]) for start in range(3)), collector)
    table.collect(table.clock)
    assert (state_of(table), table.stats()["tombstones"], table.read(b"never")) == ({}, 0, None)
    assert table.digest() == LWWTable("z").digest()
    assert table.stats()["bytes"] == LWWTable("z").stats()["bytes"]


def test_collecting_beside_merges_drops_old_tombstones_only():
    table = fresh()
    rng = random.Random(7)
    recorders = [Recorder(table) for _ in range(3)]
    keys = [key_number(number) for number in range(400)]
    span = 1_000
    oracle, floor = Oracle(), 0
    for phase in range(6):
        hlcs = range(1 + phase * span, 1 + (phase + 1) * span)
        work = [foreign_cells(rng, keys, 600, f"f{thread}", hlcs) for thread in range(3)]

        def merger(thread, cells):
            return lambda: [recorders[thread].merge(cells[start:start + 100]) for start in range(0, 600, 100)]

        # What the phases before wrote has been seen by all; what this one writes has not.
        floor = hlcs.start - 1
        run_together(*(merger(thread, cells) for thread, cells in enumerate(work)),
                     lambda upto=floor: [table.collect(upto) for _ in range(20)])
    oracle = oracle_of("add", recorders)
    table.collect(floor)
    expected = {key: write for key, write in oracle.state().items() if write.live or write.hlc > floor}
    assert state_of(table) == expected
    assert counted(table) == recounted(table)


def test_two_tables_that_merge_into_each_other_from_many_threads_agree():
    tables = [LWWTable(name, wall_ms=lambda: WALL_MS) for name in ("m", "n")]
    recorders = [Recorder(table) for table in tables]

    def exchanger(one, other):
        return lambda: [one.merge(other) for _ in range(60)] and None

    run_together(busy_writer(recorders[0], 0, 500), busy_writer(recorders[1], 1, 500),
                 exchanger(*tables), exchanger(*tables[::-1]))
    for one, other in (tables, tables[::-1]):
        one.merge(other)
    assert state_of(tables[0]) == state_of(tables[1]) == oracle_of("add", recorders).state()
    assert tables[0].digest() == tables[1].digest()
    for recorder in recorders:
        check_saw(recorder.history)


def test_digests_taken_amid_writes_are_whole():
    table, copies = fresh(), []
    recorders = [Recorder(table) for _ in range(2)]

    def taker():
        for _ in range(20):
            before = state_of(table)
            delta = table.delta()
            copies.append((before, delta, table.digest()))

    run_together(*(busy_writer(recorder, seed, 300) for seed, recorder in enumerate(recorders)), taker)
    order = Oracle().order
    for before, delta, digest in copies:
        table.delta(than=digest)
        copy = LWWTable("z")
        copy.merge(delta)
        later = state_of(copy)
        assert all(order(later[key]) >= order(write) for key, write in before.items())


def test_synchronize_returns_beside_merges_without_end():
    table, fenced = LWWTable("m"), []
    stop = threading.Event()
    taken = {bucket_of(key_number(number)) for number in range(2_000)}
    alone = next(key for key in map(key_number, range(2_000, 9_000)) if bucket_of(key) not in taken)

    def merger():
        number = 0
        while not stop.is_set():
            number += 1
            cells = [encode(key_number(key), Stamp(number, "f"), True, b"\0") for key in range(2_000)]
            table.merge(lww.bundle(cells, "add"))

    def fencer():
        try:
            for number in range(30):
                cell = table.write("put", alone, b"\0%d" % number)
                table.synchronize()
                # What was there before is counted now.
                fenced.append((cell, table.digest(), table.delta()))
        finally:
            stop.set()

    run_together(merger, fencer)
    assert len(fenced) == 30
    for cell, digest, delta in fenced:
        copy = LWWTable("z")
        copy.merge(delta)
        assert cell in lww.split(delta)
        assert bucket_of(alone) not in lww.differing(copy.digest(), digest)


def test_a_read_never_sees_a_freed_cell():
    table = fresh()
    long = b"\0" + bytes(range(256)) * 16
    done = threading.Event()

    def writer():
        try:
            for number in range(6_000):
                table.write("put", KEYS[number % 3], long + b"%d" % number)
        finally:
            done.set()

    def merger():
        number = 0
        while not done.is_set():
            number += 1
            table.merge(lww.bundle([encode(key, Stamp(table.clock + 1, "f"), True, long + b"%d" % number)
                                    for key in KEYS[:3] for _ in range(25)], "add"))

    def reader():
        while not done.is_set():
            for key in KEYS[:3]:
                found = table.read(key)
                assert found is None or found[2].startswith(long[1:])
            table.delta()

    run_together(writer, merger, reader, reader)


def test_a_delta_that_is_written_to_while_it_is_merged_is_whole_or_damaged():
    tables, done = [], threading.Event()
    cells = [encode(key_number(number), Stamp(number + 1, "f"), True, b"\0") for number in range(5_000)]
    delta = bytearray(lww.bundle(cells, "add"))
    length = len(delta) - 4 - len(cells[-1]) + 19       # of the last cell's payload: read when all others have been

    def scribbler():
        while not done.is_set():
            delta[length:length + 4] = b"\x7f\xff\xff\xff"
            delta[length:length + 4] = b"\0\0\0\x01"

    def merger():
        try:
            while len(tables) < 40:
                table = fresh()
                with suppress(Damaged):
                    table.merge(delta)
                    tables.append(table)
        finally:
            done.set()

    run_together(scribbler, merger)
    for table in tables:
        assert sorted(lww.split(table.delta())) == sorted(cells)
