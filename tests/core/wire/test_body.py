"""Bodies: whatever the cut, the payload is the same, and so is the refusal."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotpath.core.wire.probe import Body
from tests.core.wire.cases import BODIES, BodyCase, places
from tests.core.wire.page import page

BEHIND = b"GET / HTTP/1.1\r\n"


def run(pieces, framing="chunked", **options):
    """(payload, bytes taken, done, error) of a body that arrives in `pieces`."""
    body = Body(framing, **options)
    payload, taken = b"", 0
    for piece in pieces:
        n, data = body.feed(piece)
        payload += data
        taken += n
        if n < len(piece):
            break
    return payload, taken, body.done, body.error


def cut(data, at):
    ends = [*sorted(at), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_the_verdict_is_that_of_the_table(case: BodyCase):
    payload, taken, done, error = run([case.data + BEHIND])
    if case.payload is None:
        assert error
        assert not done
    else:
        assert (payload, taken, done, error) == (case.payload, len(case.data), True, None)


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_a_body_in_two_pieces_is_the_same_body(case: BodyCase):
    data = case.data + BEHIND
    (payload, _, done, error) = run([data])
    for place in places(data):
        assert run(cut(data, [place]))[0::2] == (payload, done), place
        assert run(cut(data, [place]))[3] == error, place


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_a_dripped_body_is_the_same_body(case: BodyCase):
    data = case.data + BEHIND
    (payload, _, done, error) = run([data])
    dripped = run(cut(data, range(1, len(data))))
    assert (dripped[0], dripped[2], dripped[3]) == (payload, done, error)
    if done:
        assert dripped[1] == len(case.data)


@pytest.mark.parametrize("case", [case for case in BODIES if case.payload is not None], ids=lambda case: case.name)
def test_a_body_is_done_at_its_last_byte_and_not_before(case: BodyCase):
    _, taken, done, error = run([case.data[:-1]])
    assert (taken, done, error) == (len(case.data) - 1, False, None)


@pytest.mark.parametrize("strict", [True, False], ids=["STRICT", "H11"])
@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_no_byte_behind_the_input_is_read(case: BodyCase, strict: bool):
    with page() as memory:
        for size in [0, *places(case.data), len(case.data)]:
            run([memory.holding(case.data[:size])], strict=strict)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.sets(st.integers(0, 500)), st.booleans())
def test_what_was_chunked_comes_back(chunks, at, strict):
    data = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    pieces = cut(data + BEHIND, {place for place in at if place < len(data)})
    assert run(pieces, strict=strict) == (b"".join(chunks), len(data), True, None)


@given(st.binary(max_size=100), st.sets(st.integers(0, 100)), st.integers(0, 120))
def test_a_counted_body_takes_its_count(data, at, length):
    pieces = cut(data, {place for place in at if place < len(data)})
    payload, taken, done, error = run(pieces, "length", length=length)
    assert (payload, taken, done, error) == (data[:length], min(length, len(data)), length <= len(data), None)


@given(st.binary(max_size=100))
def test_a_body_until_close_takes_everything_and_is_never_done(data):
    assert run([data], "until-close") == (data, len(data), False, None)


def test_no_body_takes_nothing():
    assert run([BEHIND], "none") == (b"", 0, True, None)


def test_an_error_stays():
    body = Body("chunked")
    body.feed(b"x")
    assert body.feed(b"5\r\nhello\r\n") == (0, b"")
    assert body.error == "malformed chunk size line"


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_give_an_answer(data, strict):
    payload, taken, done, error = run([data], strict=strict)
    assert len(payload) <= taken <= len(data)
    assert done + bool(error) < 2


@pytest.mark.parametrize(("data", "payload"), [
    (b"5 \t\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5;\x00\rany \x80 thing\r\nhello\r\n0;\r\n\r\n", b"hello"),
    (b"00000000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"0\r\nA: b\n c\r\n\td\x01\r\n\n", b""),
    (b"0\r\n\n", b""),
    (b"5\nhello\r\n0\r\n\r\n", None),
    (b"5;a\nb\r\nhello\r\n0\r\n\r\n", None),
    (b"5 ;a\r\nhello\r\n0\r\n\r\n", None),
    (b"0\r\n folded\r\n\r\n", None),
    (b"5\r\nhelloXX0\r\n\r\n", None),
])
def test_leniencies_of_h11(data, payload):
    found, taken, done, error = run([data], strict=False)
    assert (found, taken, done, error) == (payload, len(data), True, None) if payload is not None else error


def test_extensions_are_counted_per_chunk_under_the_rules_of_h11():
    data = b"1;12345678\r\nx\r\n" * 20 + b"0\r\n\r\n"
    assert run([data], strict=False, max_trailers=10)[2]
    assert run([data], strict=False, max_trailers=9)[3] == "chunk extensions too long"
