import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.scalars import (
    MAX_DURATION_S,
    MAX_SIZE,
    MIN_DURATION_S,
    Address,
    Network,
    Rate,
    read_duration,
    read_size,
    shown,
    write_duration,
    write_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10.0), ("5m", 300.0), ("1h", 3600.0), ("1.5s", 1.5), (0, 0.0), ("0s", 0.0)],
)
def test_a_duration_is_read_in_seconds(text: str | int, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["10", 10, 1.5, True, False, None, "", "s", "-1s", "1 s", "1d", "1h30m", "1e3s", "99999999h", "0.0001ms", "١s"],
)
def test_what_is_no_duration_is_refused(value: str | float | None) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        read_duration(value)


@given(st.just(0.0) | st.floats(MIN_DURATION_S, MAX_DURATION_S) | st.integers(0, 10**6).map(lambda ms: ms / 1000))
def test_a_written_duration_reads_back_exactly(seconds: float) -> None:
    assert read_duration(write_duration(seconds)) == seconds


@pytest.mark.parametrize(("text", "size"), [("8k", 8192), ("1m", 2**20), ("1G", 2**30), (0, 0), (100, 100), ("7", 7),
                                              ("1KiB", 1024), ("64MiB", 2**26), ("1gib", 2**30)])
def test_a_size_is_read_in_bytes(text: str | int, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("value", ["8kb", "k", -1, 1.5, True, None, "", "1 k", "9999999999g", "8589934592g"])
def test_what_is_no_size_is_refused(value: str | float | None) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        read_size(value)


@given(st.integers(0, MAX_SIZE))
def test_a_written_size_reads_back(size: int) -> None:
    assert read_size(write_size(size)) == size


@pytest.mark.parametrize(
    ("text", "count", "per_s", "period_s"),
    [("10/s", 10, 1.0, 0.1), ("600/m", 600, 60.0, 0.1), ("5/h", 5, 3600.0, 720.0)],
)
def test_a_rate_is_a_count_in_a_time(text: str, count: int, per_s: float, period_s: float) -> None:
    rate = Rate.parse(text)
    assert (rate.count, rate.per_s, rate.period_s) == (count, per_s, period_s)
    assert str(rate) == text


@pytest.mark.parametrize("text", ["10", "0/s", "-1/s", "1.5/s", "10/d", "10 / s", "1000001/s", ""])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80), True),
        ("0.0.0.0:0", Address("0.0.0.0", 0), False),
        ("localhost:8080", Address("localhost", 8080), True),
        ("db-1.internal_net:3306", Address("db-1.internal_net", 3306), False),
        ("[::1]:80", Address("::1", 80), True),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80), False),
        ("[::]:80", Address("::", 80), False),
        ("unix:/run/x.sock", Address(path="/run/x.sock"), True),
        ("unix:a b:80", Address(path="a b:80"), True),
    ],
)
def test_an_address_reads_and_writes_the_same(text: str, address: Address, loopback: bool) -> None:
    assert Address.parse(text) == address
    assert str(address) == text
    assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text",
    ["8080", "localhost", ":80", "host:", "host:65536", "host:+1", "host:8_0", "::1:80", "[::1]", "[1.2.3.4]:80",
     "1.2.3.4.5:80", "1.2.3:80", "256.1.1.1:80", "*:80", "a b:80", "a..b:80", "-a:80", "unix:", f"unix:{'x' * 108}",
     "http://a:80", "a:٣"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: |is not an IPv"):
        Address.parse(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_ip_address_is_an_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    address = Address(str(ip), port)
    assert Address.parse(str(address)) == address
    assert address.is_ip


def test_only_a_name_needs_a_resolver() -> None:
    assert not Address("a.example", 80).is_ip
    assert not Address(path="/x").is_ip


@pytest.mark.parametrize(
    ("text", "packed", "prefix", "written"),
    [
        ("10.0.0.0/8", b"\x0a\0\0\0", 8, "10.0.0.0/8"),
        ("192.0.2.7", b"\xc0\0\x02\x07", 32, "192.0.2.7/32"),
        ("fd00::/8", b"\xfd" + b"\0" * 15, 8, "fd00::/8"),
    ],
)
def test_a_network_is_its_first_bits(text: str, packed: bytes, prefix: int, written: str) -> None:
    network = Network.parse(text)
    assert network == Network(packed, prefix)
    assert str(network) == written


@pytest.mark.parametrize("text", ["10.0.0.1/8", "a/8", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        Network.parse(text)


def test_an_error_shows_a_value_as_yaml_spells_it_and_no_more_than_a_line() -> None:
    assert [shown(value) for value in (None, True, 1, "a\nb")] == ["null", "true", "1", r"'a\nb'"]
    assert len(shown("x" * 1000)) < 80
