"""murmur against mmh3, and against SMHasher's own verification of each variant."""
import array
import struct

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.data import murmur

SEEDS = st.integers(0, 2**32 - 1)
DIGESTS = [name for name in dir(mmh3) if name.endswith("digest") and name.startswith("mmh3_")]


@given(key=st.text() | st.binary(max_size=100), seed=SEEDS, x64arch=st.booleans(), signed=st.booleans())
def test_hashes_are_those_of_mmh3(key, seed, x64arch, signed):
    # By keyword: mmh3 5.3.1 takes a positional `signed` of hash64 and hash128 from its neighbour x64arch.
    assert murmur.hash(key, seed, signed) == mmh3.hash(key, seed, signed)
    assert murmur.hash_bytes(key, seed, x64arch) == mmh3.hash_bytes(key, seed, x64arch)
    assert murmur.hash_from_buffer(key, seed, signed) == mmh3.hash_from_buffer(key, seed, signed)
    options = {"seed": seed, "x64arch": x64arch, "signed": signed}
    assert murmur.hash64(key, **options) == mmh3.hash64(key, **options)
    assert murmur.hash128(key, **options) == mmh3.hash128(key, **options)
    assert murmur.hash64(key, seed, x64arch, signed) == murmur.hash64(key, **options)
    assert murmur.hash128(key, seed, x64arch, signed) == murmur.hash128(key, **options)


@pytest.mark.parametrize("key", ["", "key", b"key"])
def test_defaults_are_those_of_mmh3(key):
    for name in ("hash", "hash64", "hash128", "hash_bytes", "hash_from_buffer"):
        assert getattr(murmur, name)(key) == getattr(mmh3, name)(key)


@pytest.mark.parametrize("name", DIGESTS)
@given(key=st.binary(max_size=100), seed=SEEDS)
def test_digests_are_those_of_mmh3(name, key, seed):
    ours, theirs = getattr(murmur, name), getattr(mmh3, name)
    assert ours(key) == theirs(key)
    assert ours(bytearray(key), seed) == theirs(key, seed)


def test_every_length_is_hashed_to_its_last_byte():
    data = bytes(range(1, 80))
    for size in range(len(data)):
        for name in DIGESTS:
            assert getattr(murmur, name)(memoryview(data)[:size]) == getattr(mmh3, name)(data[:size])


@pytest.mark.parametrize(("hash_bytes", "bits", "expected"), [
    (lambda key, seed: murmur.mmh3_32_digest(key, seed), 32, 0xB0F57EE3),
    (lambda key, seed: murmur.hash_bytes(key, seed, x64arch=False), 128, 0xB3ECE62A),
    (lambda key, seed: murmur.hash_bytes(key, seed, x64arch=True), 128, 0x6384BA69),
], ids=["x86_32", "x86_128", "x64_128"])
def test_smhasher_verifies_it(hash_bytes, bits, expected):
    hashes = b"".join(hash_bytes(bytes(range(i)), 256 - i) for i in range(256))
    assert len(hashes) == 256 * bits // 8
    assert struct.unpack("<I", hash_bytes(hashes, 0)[:4])[0] == expected


def test_a_multidimensional_buffer_is_its_bytes():
    numbers = array.array("i", range(8))
    table = memoryview(numbers).cast("B").cast("i", (2, 4))
    assert murmur.hash_from_buffer(table) == murmur.hash(numbers.tobytes())


@pytest.mark.parametrize("seed", [-1, 2**32, -2**63 - 1, 2**64, 2**200])
@pytest.mark.parametrize("name", ["hash", "hash64", "hash_from_buffer", "mmh3_32_digest", "mmh3_x64_128_digest"])
def test_a_seed_out_of_range_is_a_value_error(name, seed):
    with pytest.raises(ValueError, match=f"seed {seed}: allowed are 0 to 4294967295"):
        getattr(murmur, name)(b"key", seed)


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_a_seed_of_another_type_is_a_type_error(seed):
    with pytest.raises(TypeError):
        murmur.hash("key", seed)
    with pytest.raises(TypeError):
        murmur.mmh3_32_digest(b"key", seed)


@pytest.mark.parametrize("key", [1, None, ["key"], bytearray(b"key"), memoryview(b"key")])
def test_a_key_is_str_or_bytes(key):
    for hash_key in (murmur.hash, murmur.hash64, murmur.hash128, murmur.hash_bytes):
        with pytest.raises(TypeError, match=f"a key is str or bytes, not {type(key).__name__}"):
            hash_key(key)


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_takes_contiguous_buffers_only(name):
    digest = getattr(murmur, name)
    for key in ("key", 1, None):
        with pytest.raises(TypeError):
            digest(key)
    with pytest.raises(BufferError):
        digest(memoryview(b"abcd")[::2])
    with pytest.raises(TypeError):
        digest(key=b"key")


def test_a_lone_surrogate_is_an_error():
    for name in ("hash", "hash64", "hash128", "hash_bytes", "hash_from_buffer"):
        with pytest.raises(UnicodeEncodeError):
            getattr(murmur, name)("\ud800")
