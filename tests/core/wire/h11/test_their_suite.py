"""h11's own test-suite, with ours in the place of h11."""
import pytest

from tests.foreign import run_suite, source_archive

# test_io, test_receivebuffer and test_util try parts of h11 that ours has not: its readers, buffer and patterns.
FILES = ["test_connection", "test_events", "test_headers", "test_helpers", "test_state", "test_against_stdlib_http"]


@pytest.mark.timeout(300)
def test_h11s_own_tests_pass():
    run_suite(source_archive("h11", "0.16.0"), [f"h11/tests/{name}.py" for name in FILES], h11=True)
