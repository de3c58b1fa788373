"""wsproto's own test-suite, with ours in the place of wsproto."""
import pytest

from tests.foreign import run_suite, source_archive

FILES = ["client", "connection", "extensions", "frame_protocol", "handshake", "permessage_deflate", "server"]


@pytest.mark.timeout(300)
def test_wsprotos_own_tests_pass():
    run_suite(source_archive("wsproto", "1.3.2"), [f"tests/test_{name}.py" for name in FILES], wsproto=True)
