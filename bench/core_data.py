"""Hash, ring and rate limiter against mmh3 and uhashring: is ours not slower, and by how much faster?"""
from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from types import ModuleType

import mmh3
import pytest
import uhashring
from pytest_benchmark.fixture import BenchmarkFixture

from hotpath.core.data import Ring, murmur, shared

KEY = "user:00000000042"                # 16 bytes, as in the goal
NODES = [f"node-{i}" for i in range(16)]
SOURCE = random.Random(1)
BATCH = array("q", (SOURCE.getrandbits(63) for _ in range(100_000)))
HASHES = pytest.mark.parametrize("module", [murmur, mmh3], ids=["hotpath", "mmh3"])


def place(key: str) -> int:
    """The hash of our ring, for uhashring."""
    return mmh3.hash64(key, signed=False)[0]


def many(call: Callable[[str], object], key: str, n: int = 1000) -> None:
    """Call often enough that the timer does not matter; the loop costs each contender the same 10 ns."""
    for _ in range(n):
        call(key)


@pytest.mark.benchmark(group="1000 hashes of a 16-byte str")
@HASHES
def test_hash(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    assert module.hash(KEY) == mmh3.hash(KEY)
    benchmark(many, module.hash, KEY)


@pytest.mark.benchmark(group="1000 hash64 of a 16-byte str")
@HASHES
def test_hash64(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    assert module.hash64(KEY) == mmh3.hash64(KEY)
    benchmark(many, module.hash64, KEY)


@pytest.mark.benchmark(group="hash of 1 MiB")
@HASHES
def test_hash_large(benchmark: BenchmarkFixture, module: ModuleType) -> None:
    data = bytes(2**20)
    assert module.hash64(data) == mmh3.hash64(data)
    benchmark(module.hash64, data)


RINGS: dict[str, Callable[[], Ring | uhashring.HashRing]] = {
    "hotpath": lambda: Ring(NODES, vnodes=256),
    "uhashring": lambda: uhashring.HashRing(NODES, vnodes=256),
    "uhashring+mmh3": lambda: uhashring.HashRing(NODES, vnodes=256, hash_fn=place),
}


@pytest.mark.benchmark(group="1000 owners on a ring of 16 x 256 points")
@pytest.mark.parametrize("ring", RINGS)
def test_owner(benchmark: BenchmarkFixture, ring: str) -> None:
    made = RINGS[ring]()
    assert made.get_node(KEY) in NODES
    benchmark(many, made.get_node, KEY)


@pytest.mark.benchmark(group="build a ring of 64 x 256 points")
@pytest.mark.parametrize("make", [Ring, uhashring.HashRing], ids=["hotpath", "uhashring"])
def test_build(benchmark: BenchmarkFixture, make: Callable[..., object]) -> None:
    benchmark(make, [f"node-{i}" for i in range(64)], vnodes=256)


@pytest.mark.benchmark(group="owners of 100000 integers")
@pytest.mark.parametrize("nodes", [4, 64], ids=["hotpath, 4 nodes", "hotpath, 64 nodes"])
def test_owners(benchmark: BenchmarkFixture, nodes: int) -> None:
    ring = Ring([f"node-{i}" for i in range(nodes)])
    assert ring.names[ring.owners(BATCH)[0]] == ring.owner(BATCH[0])
    benchmark(ring.owners, BATCH)


@pytest.mark.benchmark(group="diff of 64 x 256 points, a node gone")
def test_hotpath(benchmark: BenchmarkFixture) -> None:
    ring, smaller = (Ring([f"node-{i}" for i in range(n)]) for n in (64, 63))
    assert {old for _, _, old, _ in ring.diff(smaller)} == {"node-63"}
    benchmark(ring.diff, smaller)


def take_in_python(limiter: shared.RateLimiter, key: bytes, n: int) -> None:
    """What measure_take does in C."""
    for _ in range(n):
        limiter.take(key, 1e6, 10**6)


@pytest.mark.benchmark(group="1000 rate limits")
@pytest.mark.parametrize("take", [shared.measure_take, take_in_python], ids=["hotpath, in C", "hotpath, in Python"])
def test_take(benchmark: BenchmarkFixture, take: Callable[[shared.RateLimiter, bytes, int], object]) -> None:
    limiter = shared.RateLimiter()
    assert limiter.take(b"192.0.2.1", 1e6, 10**6)[0]
    benchmark(take, limiter, b"192.0.2.1", 1000)
