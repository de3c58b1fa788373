"""The probes that benchmarks call."""
import pytest

from hotpath.core.wire import http1

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(("scan", "data"), [(http1.scan_request, REQUEST), (http1.scan_response, RESPONSE)])
def test_the_probes_answer_bytes_need_more_or_broken(scan, data):
    assert scan(data + b"more") == len(data)
    assert scan(data, repeat=3) == len(data)
    assert scan(data[:-1]) == -2
    assert scan(b"") == -2
    assert scan(b"\x00") == -1


@pytest.mark.parametrize(("scan", "data"), [(http1.scan_request, REQUEST), (http1.scan_response, RESPONSE)])
def test_the_probes_know_both_rules(scan, data):
    bare = data.replace(b"\r", b"")
    assert scan(bare) == -1
    assert scan(bare, strict=False) == len(bare)


def test_the_probes_take_any_buffer_and_nothing_else():
    assert http1.scan_request(bytearray(REQUEST)) == http1.scan_request(memoryview(REQUEST)) == len(REQUEST)
    with pytest.raises(TypeError):
        http1.scan_request("GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(BufferError):
        http1.scan_request(memoryview(REQUEST)[::2])
