"""Who is the client? Against a model that walks X-Forwarded-For from its right end."""
from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.probing import head, probe

TRUSTED = ["10.0.0.0/8", "192.168.7.64/26", "2001:db8::/33", "::1"]
NETWORKS = [ipaddress.ip_network(each) for each in TRUSTED]
WORKER = probe({"trusted_proxies": TRUSTED})

ADDRESSES = [
    "10.0.0.1", "10.255.255.255", "11.0.0.1", "9.255.255.255", "192.168.7.63", "192.168.7.64", "192.168.7.127",
    "192.168.7.128", "::1", "::2", "2001:db8::1", "2001:db8:7fff::1", "2001:db8:8000::1", "203.0.113.9",
]
NONSENSE = [
    "", "unknown", "_hidden", "10.0.0.1:80", "[::1]", "10.0.0.256", "10.0.0", "::1%eth0", "x" * 60, '"10.0.0.1"',
]


def is_trusted(text: str) -> bool:
    return any(ipaddress.ip_address(text) in network for network in NETWORKS)


def origin(peer: str, listed: list[str]) -> str:
    found = peer
    for text in reversed(listed):
        if not is_trusted(found):
            return found
        try:
            ipaddress.ip_address(text if "%" not in text else "")
        except ValueError:
            return found
        found = text
    return found


@settings(deadline=None)
@given(
    peer=st.sampled_from(ADDRESSES),
    listed=st.lists(st.sampled_from([*ADDRESSES, *NONSENSE]), max_size=5),
    cut=st.integers(0, 5),
    comma=st.sampled_from([",", ", ", " ,", " \t, \t"]),
)
def test_the_client_is_the_rightmost_that_no_trusted_proxy_is(
    peer: str, listed: list[str], cut: int, comma: str
) -> None:
    # One list may stand in several fields (RFC 9110 section 5.3).
    fields = [("X-Forwarded-For", comma.join(part)) for part in (listed[:cut], listed[cut:]) if part]
    if any(not value.strip() for _, value in fields):
        return                              # an empty field says nothing, an empty element is nobody
    assert WORKER.request(head("/", *fields), peer=peer).client_ip == origin(peer, listed)


@pytest.mark.parametrize(("peer", "client"), [("::ffff:10.0.0.1", "203.0.113.9"), ("::ffff:11.0.0.1", "11.0.0.1")])
def test_ipv4_is_ipv4_whichever_way_it_came(peer: str, client: str) -> None:
    assert WORKER.request(head("/", ("X-Forwarded-For", "203.0.113.9")), peer=peer).client_ip == client


def test_a_unix_socket_is_in_no_network() -> None:
    fields = [("X-Forwarded-For", "203.0.113.9")]
    assert WORKER.request(head("/", *fields), peer="unix:").client_ip == "unix:"


def test_without_trusted_proxies_nobody_is_believed() -> None:
    request = probe({}).request(head("/", ("X-Forwarded-For", "203.0.113.9")), peer="127.0.0.1")
    assert request.client_ip == "127.0.0.1"
