"""Paths are bytes, decoded once, in their only spelling."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.errors import BadPath
from hotpath.ide.files.paths import check_new_name, checked, href, joined, path_of_query, shown, split

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: name not in (b".", b"..") and not set(b"/\0") & set(name))


@given(st.lists(NAMES, max_size=5).map(b"/".join))
def test_any_path_survives_the_way_through_a_url(path):
    assert path_of_query(href(path)) == path
    assert href(path).isascii()


@pytest.mark.parametrize(("raw", "path"), [
    ("", b""), ("a", b"a"), ("a/b", b"a/b"), ("a%2Fb", b"a/b"), ("a+b", b"a+b"), ("a%20b", b"a b"), ("%2525", b"%25"),
    ("%FF", b"\xff"), ("%ff", b"\xff"), ("ä", "ä".encode()), ("a%5Cb", b"a\\b"), ("...", b"..."), (".a", b".a"),
    ("%2e%2ea", b"..a")])
def test_a_query_value_is_decoded_once(raw, path):
    assert path_of_query(raw) == path


@pytest.mark.parametrize("raw", [
    "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "%2e%2e", "%2E%2E/x", "a%2f..%2fb", "%00", "a%00b",
    "%", "%1", "%zz", "a%2", "x" * 256, "/".join(["x" * 200] * 21), "%2fetc/passwd"])
def test_what_is_no_path_is_refused(raw):
    with pytest.raises(BadPath):
        path_of_query(raw)


def test_the_longest_names_and_paths_are_paths():
    assert checked(b"x" * 255) == b"x" * 255
    longest = b"/".join([b"x" * 255] * 15 + [b"x" * 255])
    assert len(longest) == 4095
    assert checked(longest) == longest


@pytest.mark.parametrize("name", [b"a\n", b"\x1b[2J", b"\x7f", "\x85".encode(), b"\t"])
def test_a_new_name_has_no_control_characters(name):
    with pytest.raises(BadPath):
        check_new_name(name)


def test_any_other_new_name_is_allowed():
    for name in (b" ", b"\xff", "ü 日本".encode(), b"-rf", b"a\\b", b"'\"<>"):
        check_new_name(name)


def test_what_is_no_utf8_is_shown_with_a_replacement():
    assert shown(b"a\xffb") == "a\N{REPLACEMENT CHARACTER}b"


def test_a_path_is_put_together_and_taken_apart():
    assert joined(b"", b"a") == b"a"
    assert joined(b"a/b", b"c") == b"a/b/c"
    assert split(b"a/b/c") == (b"a/b", b"c")
    assert split(b"a") == (b"", b"a")
