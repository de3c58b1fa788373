"""Which bytes of a request are its key? Told by a limit that lets each key pass once."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotpath.proxy.probe import Probe
from tests.probing import head, probe


def limiting(key: str) -> Probe:
    limits = {"l": {"rate": "1/h", "key": key}}
    return probe({"rate_limits": limits, "routes": [{"match": {}, "respond": {}, "rate_limit": "l"}]})


def balancing(key: str) -> Probe:
    servers = [f"127.0.0.1:{9000 + i}" for i in range(50)]
    upstreams = {"u": {"servers": servers, "balance": f"hash:{key}"}}
    return probe({"upstreams": upstreams, "routes": [{"match": {}, "upstream": "u"}]})


def is_known(worker: Probe, *fields: tuple[str, str]) -> bool:
    """Whether this request's key has been here before."""
    return worker.request(head("/", *fields)).take() is not None


COOKIES = ["id=1", "a=b; id=1", "a=b;id=1", "id=1; id=2", "a; id=1", "=; id=1;", ";;id=1", "b=id=2; id=1"]


@pytest.mark.parametrize("cookies", COOKIES)
def test_a_cookie_is_found_wherever_it_stands(cookies: str) -> None:
    worker = limiting("cookie:id")
    assert not is_known(worker, ("Cookie", "id=1"))
    assert is_known(worker, ("Cookie", cookies))


@pytest.mark.parametrize("cookies", ["", "id", "xid=1", "idx=1", "ID=1", "a=id=1", "id =1"])
def test_what_is_no_such_cookie_is_no_key(cookies: str) -> None:
    worker = limiting("cookie:id")
    assert not is_known(worker, ("Cookie", "id=1"))
    assert not any(is_known(worker, ("Cookie", cookies)) for _ in range(2))


def test_a_cookie_may_stand_in_the_second_field() -> None:
    worker = limiting("cookie:id")
    assert not is_known(worker, ("Cookie", "id=1"))
    assert is_known(worker, ("Cookie", "a=b"), ("Cookie", "id=1"))


def test_of_two_fields_the_first_is_the_key() -> None:
    worker = limiting("header:x-key")
    assert not is_known(worker, ("X-Key", "1"))
    assert is_known(worker, ("X-Key", "1"), ("X-Key", "2"))


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.sampled_from(["q", "qq", "a", ""]), st.sampled_from(["", "1", "2"])), max_size=5))
def test_a_query_parameter_is_what_a_plain_split_finds(pairs: list[tuple[str, str]]) -> None:
    worker = balancing("query:q")
    first = next((value for name, value in pairs if name == "q"), None)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    if first is not None:
        assert worker.request(head(f"/?{query}")).lease() == worker.request(head(f"/other?q={first}")).lease()


@pytest.mark.parametrize(("key", "one", "other", "third"), [
    ("path", "/a?1", "/x/../a?2", "/b"),
    ("uri", "/a?1", "/a?1", "/a?5"),
    ("query:q", "/1?q=a", "/2?x=y&q=a", "/1?q=b"),
])
def test_a_part_of_the_target_is_the_key(key: str, one: str, other: str, third: str) -> None:
    worker = balancing(key)
    servers = [worker.request(head(target)).lease() for target in (one, other, third)]
    assert servers[0] == servers[1] != servers[2]
