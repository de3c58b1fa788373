"""Epochs, seen through a table: memory comes back, seats are used again, and malloc may fail anywhere."""
import os
import shlex
import subprocess
import sys
import sysconfig
import threading

import pytest

from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode
from tests.core.data.forking import forked

# A sanitizer has a malloc of its own, and keeps what was freed.
by_plain_malloc = pytest.mark.skipif("san.so" in os.environ.get("LD_PRELOAD", ""), reason="another malloc is watching")

SHIM = r"""
/* malloc that counts what our modules ask it for, and refuses the one that it is told to. Python's own allocator is not
 * ours to try. glibc's malloc has a second name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long n_calls, refused;
static int watching;

/* Refuse the call after `after` others; -1: none. */
void shim_watch(long after) { n_calls = 0, refused = after, watching = 1; }
long shim_calls(void) { watching = 0; return n_calls; }

static int no(void *caller) {
    Dl_info from;
    if (!watching || !dladdr(caller, &from) || !from.dli_fname || !strstr(from.dli_fname, "core/data/"))
        return 0;
    if (n_calls++ != refused)
        return 0;
    errno = ENOMEM;
    return 1;
}

#define REFUSED no(__builtin_return_address(0))
void *malloc(size_t n) { return REFUSED ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return REFUSED ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return REFUSED ? NULL : __libc_realloc(p, n); }
"""

BEGIN = """
import ctypes, threading
from hotpath.core.data.lww import LWWTable, Stamp, bundle, encode, split

shim = ctypes.CDLL(None)

def delta_of(n, hlc, live=True):
    return bundle([encode(b"key %d" % i, Stamp(hlc, "b"), live, b"\\0value" if live else b"") for i in range(n)], "add")

def rss_kib():
    return int(open("/proc/self/statm").read().split()[1]) * 4
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([*shlex.split(sysconfig.get_config_var("CC")), "-O1", "-fPIC", "-shared", "-fno-builtin",
                    folder / "shim.c", "-o", folder / "shim.so"], check=True)
    return folder / "shim.so"


def run(script, shim=None):
    """In a process of its own, with nothing else in its memory."""
    environment = os.environ | ({"LD_PRELOAD": str(shim)} if shim else {})
    done = subprocess.run([sys.executable, "-P", "-c", BEGIN + script], env=environment, capture_output=True, text=True,
                          timeout=100)
    assert done.returncode == 0, done.stderr


@by_plain_malloc
def test_merging_again_allocates_nothing(shim):
    run("""
delta = delta_of(10_000, 5)
table = LWWTable()
assert table.merged(delta) == (10_000, 0, 0)
table.merged(delta)
shim.shim_watch(-1)
assert table.merged(delta) == (0, 10_000, 0)
assert shim.shim_calls() == 0
shim.shim_watch(-1)
LWWTable().merged(delta)
assert shim.shim_calls() > 1000
""", shim)


@by_plain_malloc
def test_a_malloc_that_fails_anywhere_is_a_memory_error_and_leaves_the_table_sound(shim):
    run("""
base, more, gone = delta_of(150, 5), delta_of(300, 7), delta_of(100, 9, live=False)

def work(table):
    for i in range(30):
        table.put(b"own %d" % i, b"x" * (20 * i))
    table.merged(more)
    table.write("put", b"k", bytes(500))
    table.winning(gone)
    table.merged(gone)
    table.page(b"key", None, 200)
    wanted = table.fingerprints(range(64))
    table.missing(wanted, 1000)
    table.pick(range(64), bytes(800))
    table.delta(LWWTable("c").digest())
    list(table)
    table.collect(9)
    table.digest()

refusals = 0
for n in range(4000):
    table = LWWTable("t")
    table.merged(base)
    shim.shim_watch(n)
    refused = False
    try:
        work(table)
    except MemoryError:
        refused = True
    if shim.shim_calls() <= n:
        break
    # One block that a bag could not remember is lost, and no more is.
    refusals += refused
    copy = LWWTable("u")
    copy.merged(table.delta())
    assert copy.digest() == table.digest(), n
    assert len(copy) == len(table) == len(list(table)), n
    work(table)
assert n > 200, n
assert refusals >= n - 9, (refusals, n)
""", shim)


@by_plain_malloc
@pytest.mark.parametrize("size", [8, 200, 5000])
def test_what_a_million_writes_replaced_comes_back(size):
    run(f"""
table = LWWTable()
value = bytes({size})
keys = [b"%d" % i for i in range(100)]
for _ in range(100):
    for key in keys:
        table.put(key, value)
before = rss_kib()
for _ in range(10_000):
    for key in keys:
        table.put(key, value)
assert rss_kib() - before < 32 * 1024, rss_kib() - before
""")


@by_plain_malloc
def test_large_values_that_were_replaced_do_not_pile_up():
    run("""
table = LWWTable()
table.put("k", bytes(1 << 20))
before = rss_kib()
for i in range(200):
    table.put("k", b"%d" % i * (1 << 19))
    assert rss_kib() - before < 24 * 1024, rss_kib() - before
""")


@by_plain_malloc
def test_what_merges_in_threads_replaced_comes_back():
    run("""
deltas = [delta_of(2000, hlc) for hlc in range(1, 101)]
table = LWWTable()

def merge():
    for delta in deltas:
        table.merge(delta)

for hlc in range(2):
    threads = [threading.Thread(target=merge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deltas = [delta_of(2000, hlc) for hlc in range(101, 401)]
    before = before if hlc else rss_kib()
assert table.stats()["live"] == 2000
grown = rss_kib() - before - sum(map(len, deltas)) // 1024
assert grown < 32 * 1024, grown
""")


def test_a_table_is_written_by_more_threads_than_it_has_stripes():
    table = LWWTable()
    everybody = threading.Barrier(300)
    delta = bundle([encode(b"%d" % i, Stamp(7, "b"), True, b"\0") for i in range(100)], "add")

    def write(name):
        everybody.wait()
        table.put(f"own {name}", name)
        table.merge(delta)
        everybody.wait()
        table.put(f"own {name}", -name)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(table) == 400
    assert table.stats() | {"ignored": 0} == {"live": 400, "tombstones": 0, "applied": 700, "ignored": 0, "stale": 0,
                                              "overwritten": 300, "bytes": table.stats()["bytes"]}
    copy = LWWTable("c")
    copy.merge(table)
    assert copy.digest() == table.digest()
    assert copy.stats()["bytes"] == table.stats()["bytes"]


@by_plain_malloc
def test_threads_that_come_and_go_use_the_seats_of_those_who_went():
    run("""
table = LWWTable()
def go(n):
    for i in range(n):
        thread = threading.Thread(target=table.put, args=("k", i))
        thread.start()
        thread.join()
go(50)
before = rss_kib()
go(3000)
assert table["k"] == 2999
assert rss_kib() - before < 8 * 1024, rss_kib() - before
""")


# AddressSanitizer's own lock may be held by another thread at the fork, and is then held for ever.
@by_plain_malloc
def test_after_a_fork_beside_threads_the_child_goes_on_with_tables_of_its_own():
    over = threading.Event()
    busy = LWWTable("busy")
    deltas = [bundle([encode(b"%d" % i, Stamp(hlc, "b"), True, bytes(60)) for i in range(500)], "add")
              for hlc in range(1, 40)]

    def storm():
        while not over.is_set():
            other = LWWTable()
            for delta in deltas:
                busy.merge(delta)
                other.merge(delta)

    def work():
        table = LWWTable("child")

        def merge():
            for delta in deltas:
                table.merge(delta)

        threads = [threading.Thread(target=merge) for _ in range(4)]
        for thread in threads:
            thread.start()
        merge()
        for thread in threads:
            thread.join()
        table.synchronize()
        assert len(table) == 500
        assert table.collect(table.clock) == 0

    threads = [threading.Thread(target=storm) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            with forked(work) as end:
                assert end() == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
