"""Header fields: what is of one connection stays there, what is ours stays ours."""
from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.preview import heads

NAMES = st.sampled_from([
    b"Connection", b"Cookie", b"Authorization", b"X-A", b"x-b", b"Upgrade", b"Content-Length", b"Transfer-Encoding",
    b"Set-Cookie", b"Forwarded", b"X-Forwarded-For", b"Expect", b"TE", b"Keep-Alive", b"Proxy-Connection", b"Host"])
VALUES = st.sampled_from([
    b"x-a", b"close, X-B", b"upgrade", b"hotpath_ide=1", b"a=1; hotpath_ide_80=2", b"HOTPATH_IDE_x=3;b=4", b"12",
    b"chunked", b"Host, x-a", b""])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(FIELDS)
def test_nothing_of_ours_and_of_the_connection_reaches_a_program(fields):
    passed = heads.to_program(fields, client=b"1.2.3.4", host=b"h", upgrade=None)
    lowered = [name.lower() for name, _ in passed]
    assert not {b"connection", b"authorization", b"upgrade", b"expect", b"te", b"keep-alive", b"forwarded",
                b"proxy-connection"} & set(lowered)
    assert not any(b"hotpath_ide" in value.lower() for name, value in passed if name.lower() == b"cookie")
    for name in (b"cookie", b"content-length", b"transfer-encoding", b"x-forwarded-for"):
        assert lowered.count(name) <= 1
    assert not {b"content-length", b"transfer-encoding"} <= set(lowered)
    for option in heads.named(fields) - {b"host"}:
        assert option not in set(lowered) - {b"x-forwarded-for", b"cookie", b"content-length", b"transfer-encoding"}
    assert [value for name, value in passed if name == b"Host"] == [value for name, value in fields if name == b"Host"]


@given(FIELDS)
def test_nothing_of_the_connection_reaches_a_browser_and_no_cookie_like_ours(fields):
    passed = heads.to_browser(fields)
    lowered = [name.lower() for name, _ in passed]
    assert not {b"connection", b"upgrade", b"transfer-encoding", b"keep-alive", b"proxy-connection"} & set(lowered)
    assert not any(value.lower().startswith(b"hotpath_ide") for name, value in passed if name.lower() == b"set-cookie")
    assert lowered.count(b"content-length") <= 1


def test_cookies_of_others_stay_in_order():
    given_ones = b"a=1; hotpath_ide_1=x;b=2 ;; HOTPATH_IDE=y; c=hotpath_ide"
    assert heads.foreign_cookies(given_ones) == b"a=1; b=2; c=hotpath_ide"
    assert heads.foreign_cookies(b"hotpath_ide=1") == b""


def test_an_upgrade_needs_both_fields():
    assert heads.wants_upgrade([(b"Upgrade", b"websocket"), (b"Connection", b"keep-alive, Upgrade")]) == b"websocket"
    assert heads.wants_upgrade([(b"Upgrade", b"websocket")]) is None
    assert heads.wants_upgrade([(b"Connection", b"upgrade")]) is None
    switching = heads.to_browser([(b"Upgrade", b"echo"), (b"Connection", b"upgrade")], switching=True)
    assert switching == [(b"Connection", b"upgrade"), (b"Upgrade", b"echo")]
