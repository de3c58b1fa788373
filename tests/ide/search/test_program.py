"""The search itself, against one that anybody can see to be right."""
import re

from hypothesis import given
from hypothesis import strategies as st

from hotpath.ide.search.program import compiled, matches, may_match

TEXT = st.text(st.sampled_from("aAbB_ ü\n.-"), max_size=40)
WANTED = st.text(st.sampled_from("aAbB_ ü.-"), min_size=1, max_size=3)


def naive(text, wanted, *, case, word):
    """Line by line, from left to right, without overlap."""
    found = []
    for number, line in enumerate(text.split("\n")):
        at = 0
        while at <= len(line) - len(wanted):
            here = line[at:at + len(wanted)]
            same = here == wanted if case else here.lower() == wanted.lower()
            around = (line[at - 1:at] if at else "") + line[at + len(wanted):at + len(wanted) + 1]
            if same and not (word and any(one.isalnum() or one == "_" for one in around)):
                found.append((number, line, at, len(wanted)))
                at += len(wanted)
            else:
                at += 1
    return found


@given(TEXT, WANTED, st.booleans(), st.booleans())
def test_text_is_found_where_it_is(text, wanted, case, word):
    pattern = compiled(wanted, regex=False, case=case, word=word)
    assert list(matches(pattern, text, lines_apart=False)) == naive(text, wanted, case=case, word=word)


@given(TEXT, WANTED, st.booleans(), st.booleans())
def test_an_expression_for_the_text_finds_the_same(text, wanted, case, word):
    literal = compiled(wanted, regex=False, case=case, word=word)
    regex = compiled(re.escape(wanted), regex=True, case=case, word=word)
    assert list(matches(regex, text, lines_apart=True)) == list(matches(literal, text, lines_apart=False))


@given(st.text(max_size=30), st.text(min_size=1, max_size=3), st.booleans())
def test_what_is_not_decoded_has_no_match(text, wanted, case):
    pattern = compiled(wanted, regex=False, case=case, word=False)
    data = text.encode()
    assert may_match(data, wanted, case=case) or not list(matches(pattern, text, lines_apart=False))


def test_line_ends_of_windows_are_no_part_of_a_line():
    pattern = compiled("b$", regex=True, case=True, word=False)
    assert [place[:1] for place in matches(pattern, "ab\r\nb\r\n", lines_apart=True)] == [(0,), (1,)]


def test_flags_in_front_work_with_whole_words():
    pattern = compiled("(?i)(?x) a b # a comment", regex=True, case=True, word=True)
    assert [found.span() for found in pattern.finditer("AB abc cab ab")] == [(0, 2), (11, 13)]


def test_matches_of_nothing_are_none():
    pattern = compiled("x*", regex=True, case=True, word=False)
    assert list(matches(pattern, "ab\nxx", lines_apart=True)) == [(1, "xx", 0, 2)]
