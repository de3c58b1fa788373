from __future__ import annotations

import re
import select

import h11
import pytest

from hotpath.core.serve.testing import Served
from tests.clients import Client, CutShort, chunked, fetch, request_bytes
from tests.core.net.peers import reset_on_close
from tests.waiting import wait_for


def test_an_answer_has_a_length_a_date_and_a_type(served: Served):
    answer = fetch(served.address, "/hello")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.value("content-length") == "5"
    assert answer.value("content-type") == "text/plain; charset=utf-8"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.value("date") or "")


def test_parameters_query_and_fields_reach_the_handler(served: Served):
    answer = fetch(served.address, "/items/42?a=b%20c&d=", fields=[("User-Agent", "me")])
    assert answer.json() == {"id": 42, "query": {"a": "b c", "d": ""}, "agent": "me"}


def test_a_name_is_decoded_and_the_raw_path_is_not(served: Served):
    assert fetch(served.address, "/names/%C3%A4%2Fb").json() == ["ä/b", "/names/ä/b", "/names/%C3%A4%2Fb"]


def test_the_client_is_the_peers_address(served: Served):
    assert fetch(served.address, "/client").json()[0] == "127.0.0.1"


def test_head_has_the_length_and_no_body(served: Served):
    with Client(served.address) as client:
        answer = client.ask("HEAD", "/hello")
        assert (answer.status, answer.value("content-length"), answer.body) == (200, "5", b"")
        assert client.ask("GET", "/hello").body == b"hello"


def test_http_1_0_is_closed_unless_it_asks_to_stay(served: Served):
    with Client(served.address) as client:
        assert client.ask("GET", "/hello", version="1.0").says_close
        assert client.rest() == b""
    with Client(served.address) as client:
        answer = client.ask("GET", "/hello", [("Connection", "keep-alive")], version="1.0")
        assert answer.value("connection") == "keep-alive"
        assert client.ask("GET", "/hello").body == b"hello"


def test_an_iterated_body_is_chunked_and_close_delimited_for_http_1_0(served: Served):
    assert fetch(served.address, "/pieces/3").value("transfer-encoding") == "chunked"
    assert fetch(served.address, "/pieces/3").body == b"0\n1\n2\n"
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/pieces/3", version="1.0"))
        head, _, body = client.rest().partition(b"\r\n\r\n")
        assert body == b"0\n1\n2\n"
        assert b"chunked" not in head
        assert b"Connection: close" in head


def test_an_iterated_body_may_say_its_length(served: Served):
    answer = fetch(served.address, "/known")
    assert (answer.value("content-length"), answer.value("transfer-encoding"), answer.body) == ("6", None, b"abcdef")


@pytest.mark.parametrize("n", [5, 7])
def test_a_body_of_another_length_than_said_is_cut(served: Served, n: int):
    with pytest.raises(CutShort):
        fetch(served.address, f"/wrong/{n}")
    served.wait_for("than its Content-Length")


def test_a_producer_that_breaks_cuts_the_answer(served: Served):
    with pytest.raises(CutShort) as cut:
        fetch(served.address, "/breaks")
    assert b"secret" not in cut.value.answer.body


def test_pipelined_requests_are_answered_in_order(served: Served):
    paths = [f"/items/{i}" for i in range(200)]
    with Client(served.address) as client:
        client.send(b"".join(request_bytes("GET", path) for path in paths))
        assert [client.answer().json()["id"] for _ in paths] == list(range(200))


def test_pipelined_answers_that_fill_the_buffer_and_leave_at_once_all_come(served: Served):
    """What the kernel takes at once is followed by no event of its own: the next request must not wait for one."""
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/big/100000") * 8)
        assert [len(client.answer().body) for _ in range(8)] == [100_000] * 8


def test_an_early_refusal_reaches_a_client_that_said_close(served: Served):
    """It still sends its body: a close at once would have the kernel take our answer back."""
    for fields in ([("Connection", "close")], []):
        with Client(served.address) as client:
            client.send(request_bytes("POST", "/nothing", [("Content-Length", "300000"), *fields]))
            wait_for(lambda: select.select([client.sock], [], [], 0)[0], "the answer")
            for _ in range(30):
                client.send(b"x" * 10_000)
            assert client.answer("POST").status == 405


def test_one_that_waits_holds_up_those_pipelined_behind_it(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/nap") + request_bytes("GET", "/hello") + request_bytes("GET", "/nap"))
        assert [client.answer().body for _ in range(3)] == [b"rested", b"hello", b"rested"]


def test_a_dripped_request_is_answered(served: Served):
    with Client(served.address) as client:
        client.drip(request_bytes("POST", "/echo", body=b"drops"))
        assert client.answer("POST").body == b"drops"


def test_ten_thousand_requests_on_one_connection(served: Served):
    request = request_bytes("GET", "/hello")
    with Client(served.address) as client:
        for _ in range(100):
            client.send(request * 100)
            for _ in range(100):
                assert client.answer().body == b"hello"


def test_a_client_that_shut_its_side_gets_its_answer(served: Served):
    import socket
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/hello"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"hello"
        assert client.rest() == b""


# Errors

@pytest.mark.parametrize(("head", "status"), [
    (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
    (b"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 33000 + b"\r\n\r\n", 431),
    (b"GET /hello HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
    (b"GET /hello HTTP/1.1\nHost: a\n\n", 400),
    (b"nonsense\r\n\r\n", 400),
])
def test_a_head_that_breaks_the_protocol_is_told_why_and_ends_the_connection(served: Served, head: bytes, status: int):
    with Client(served.address) as client:
        client.send(head)
        answer = client.answer()
        assert answer.status == status
        assert answer.value("content-type") == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.says_close
        assert client.rest() == b""


@pytest.mark.parametrize(("method", "path", "fields", "status"), [
    ("GET", "/absent", [], 404),
    ("GET", "/items/x", [], 404),
    ("GET", "/items/..", [], 404),
    ("GET", "/names/%2e%2E", [], 404),
    ("GET", "/names/%ff", [], 404),
    ("DELETE", "/hello", [], 405),
    ("BREW", "/hello", [], 501),
    ("GET", "/hello", [("Expect", "miracles")], 417),
    ("GET", "/live", [], 426),
])
def test_what_no_handler_serves_is_a_problem(served, method, path, fields, status):
    with Client(served.address) as client:
        answer = client.ask(method, path, fields)
        assert answer.status == status
        assert answer.value("content-type") == "application/problem+json"
        assert client.ask("GET", "/hello").body == b"hello"


def test_405_and_options_name_the_methods(served: Served):
    assert fetch(served.address, "/hello", "PUT").value("allow") == "GET, HEAD, OPTIONS"
    answer = fetch(served.address, "/echo", "OPTIONS")
    assert (answer.status, answer.value("allow"), answer.value("content-length")) == (204, "OPTIONS, POST", None)
    assert fetch(served.address, "*", "OPTIONS").status == 204


def test_a_handler_that_raises_is_a_500_whose_instance_is_in_the_log(served: Served):
    with Client(served.address) as client:
        answer = client.ask("GET", "/fail")
        assert answer.status == 500
        assert "secret" not in answer.body.decode()
        assert "Traceback" not in answer.body.decode()
        served.wait_for(re.escape(answer.json()["instance"]) + ".*a secret")
        assert client.ask("GET", "/hello").body == b"hello"


def test_a_handler_that_answers_nothing_is_a_500(served: Served):
    assert fetch(served.address, "/nothing").status == 500


def test_no_value_splits_a_response(served: Served):
    assert fetch(served.address, "/split?value=fine").value("x") == "fine"
    answer = fetch(served.address, "/split?value=a%0d%0aSet-Cookie:%20b")
    assert (answer.status, answer.value("set-cookie")) == (500, None)


# A client that goes

@pytest.mark.parametrize("path", ["wait", "offload"])
def test_a_client_that_is_gone_cancels_its_handler(served: Served, path: str):
    name = f"gone-{path}"
    with Client(served.address) as client:
        client.send(request_bytes("GET", f"/{path}/{name}"))
        wait_for(lambda: f"waiting {name}" in fetch(served.address, "/seen").json(), "the handler")
    wait_for(lambda: f"cancelled {name}" in fetch(served.address, "/seen").json(), "its end")


def test_a_slow_reader_stops_the_producer_and_its_end_closes_it(served: Served):
    def flooded() -> dict[str, int]:
        answer: dict[str, int] = fetch(served.address, "/flooded").json()
        return answer

    with Client(served.address) as client:
        client.send(request_bytes("GET", "/flood"))
        events = client.events()
        assert isinstance(next(events), h11.Response)
        last = -1

        def stands_still() -> bool:
            nonlocal last
            last, before = flooded()["pieces"], last
            return last == before > 0

        wait_for(stands_still, "the producer to wait")
        assert last * 65536 < 64 * 2**20
    wait_for(lambda: flooded()["closed"] == 1, "the producer to be closed")


def test_a_slow_client_that_shut_its_side_gets_all_of_its_answer(served: Served):
    import socket
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/big/20000000", [("Connection", "close")]))
        events = client.events()
        assert isinstance(next(events), h11.Response)
        client.sock.shutdown(socket.SHUT_WR)
        assert sum(len(event.data) for event in events if isinstance(event, h11.Data)) == 20_000_000


def test_a_large_answer_arrives_whole(served: Served):
    assert fetch(served.address, "/big/20000000").body == bytes(20_000_000)


# Bodies of requests

@pytest.mark.parametrize("path", ["/echo", "/pipe"])
@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
def test_a_body_comes_back_as_it_went(served: Served, path: str, size: int):
    import threading
    body = bytes(i * 7 % 251 for i in range(min(size, 5000))) * max(1, size // 5000)
    with Client(served.address) as client:
        for framed in (request_bytes("POST", path, body=body),
                       request_bytes("POST", path, [("Transfer-Encoding", "chunked")]) + chunked(*[
                           piece for i in range(0, len(body), 1000) if (piece := body[i:i + 1000])])):
            sender = threading.Thread(target=client.send, args=(framed,))
            sender.start()
            assert client.answer("POST").body == body
            sender.join()
        assert client.ask("GET", "/hello").body == b"hello"


def test_a_body_over_the_limit_is_413_from_its_length_alone(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/small", [("Content-Length", "11")]))
        assert client.answer("POST").status == 413
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/json", [("Content-Length", "1048577")]))
        assert client.answer("POST").status == 413


def test_a_chunked_body_over_the_limit_is_413(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/small", [("Transfer-Encoding", "chunked")]) + b"b\r\nhello world\r\n")
        answer = client.answer("POST")
        assert (answer.status, answer.says_close) == (413, True)


def test_a_broken_chunk_is_400(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/echo", [("Transfer-Encoding", "chunked")]) + b"zz\r\n")
        assert client.answer("POST").status == 400
        assert client.rest() == b""


def test_100_continue_comes_when_the_handler_asks_for_the_body(served: Served):
    fields = [("Expect", "100-continue"), ("Content-Length", "4")]
    for path in ("/echo", "/pipe"):
        with Client(served.address) as client:
            client.send(request_bytes("POST", path, fields))
            assert client.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"body")
            assert client.answer("POST").body == b"body"
            assert client.ask("GET", "/hello").body == b"hello"


def test_100_continue_does_not_come_when_nobody_asks(served: Served):
    with Client(served.address) as client:
        answer = client.ask("POST", "/unread", [("Expect", "100-continue"), ("Content-Length", "4")])
        assert (answer.interim, answer.body, answer.says_close) == ([], b"did not look", True)


def test_a_small_unread_body_is_passed_over(served: Served):
    for body in (b"x" * 100, b"x" * 100_000):
        with Client(served.address) as client:
            assert client.ask("POST", "/unread", body=body).body == b"did not look"
            assert client.ask("GET", "/hello").body == b"hello"


def test_a_large_unread_body_ends_the_connection(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/unread", [("Content-Length", "1000000")]))
        answer = client.answer("POST")
        assert (answer.body, answer.says_close) == (b"did not look", True)


def test_json_is_read_and_refused(served: Served):
    kind = [("Content-Type", "application/json; charset=utf-8")]
    assert fetch(served.address, "/json", "POST", kind, b'{"a": 1}').json() == {"a": 1}
    assert fetch(served.address, "/json", "POST", kind, b'{"a": 1').status == 400
    assert fetch(served.address, "/json", "POST", kind, b"[1]").status == 422
    assert fetch(served.address, "/json", "POST", [("Content-Type", "text/plain")], b"{}").status == 415
    assert fetch(served.address, "/json", "POST", [], b"{}").status == 415


# Websockets: the gate

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


@pytest.mark.parametrize(("target", "origin"), [
    ("/live?let", "https://foe.example"), ("/live?let", "null"), ("/live", "https://friend.example"), ("/live", None),
])
def test_a_foreign_page_or_an_unauthorized_client_gets_403_instead_of_101(served, target, origin):
    with Client(served.address) as client:
        client.send(request_bytes("GET", target, [*UPGRADE, *([("Origin", origin)] if origin else [])]))
        assert client.answer().status == 403


# Clients that break off: the server goes on, and counts come back to nothing

def test_resets_at_any_point_leave_nothing_behind(served: Served):
    whole = [
        request_bytes("GET", "/hello"), request_bytes("POST", "/echo", body=b"x" * 100_000),
        request_bytes("GET", "/big/3000000"), request_bytes("GET", "/wait/for-ever"), request_bytes("GET", "/flood"),
        request_bytes("POST", "/pipe", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n",
    ]
    for data in whole:
        for size in (1, len(data) // 2, len(data) - 1, len(data)):
            client = Client(served.address)
            client.send(data[:size])
            reset_on_close(client.sock)
            client.close()
    page = 'hotpath_connections{state="active"} 1\nhotpath_connections{state="idle"} 0\n'
    wait_for(lambda: page in fetch(served.address, "/metrics").body.decode(), "all of them to be forgotten")
    assert fetch(served.address, "/hello").body == b"hello"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_is_closed_behind_its_answer(served: Served, method: str):
    with Client(served.address) as client:
        assert client.ask(method, f"/closing/{method}").body == (b"piece" if method == "GET" else b"")
        assert client.ask("GET", "/hello").body == b"hello"
    assert fetch(served.address, "/seen").json().count(f"closed {method}") == 1


def test_a_body_whose_client_is_gone_before_it_begins_is_closed(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/stubborn/gone"))
        wait_for(lambda: "waiting gone" in fetch(served.address, "/seen").json(), "the handler")
    wait_for(lambda: "closed gone" in fetch(served.address, "/seen").json(), "the close")


def test_a_number_is_no_piece_of_a_body(served: Served):
    with pytest.raises(CutShort, match="200 cut after 0 bytes"):
        fetch(served.address, "/numbers")


def test_a_client_that_breaks_what_is_passed_on_cuts_its_answer_and_fills_no_log(served: Served):
    before = len(served.output())
    with Client(served.address) as client:
        client.send(request_bytes("POST", "/pipe", [("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\nzz\r\n")
        with pytest.raises(CutShort):
            client.answer("POST")
    served.wait_for("answer cut path=/pipe cause=")
    assert "exception=" not in served.output()[before:]


def test_a_task_is_called_what_it_serves(served: Served):
    assert fetch(served.address, "/task?secret=1").body == b"<Task GET /task>"


def test_json_that_is_nested_beyond_all_measure_is_400(served: Served):
    with Client(served.address) as client:
        body = b'{"a":' + b"[" * 100_000
        answer = client.ask("POST", "/json", [("Content-Type", "application/json")], body)
        assert (answer.status, answer.json()["detail"]) == (400, "the JSON is nested too deeply")


def test_a_task_that_somebody_keeps_never_serves_another_request(served: Served):
    with Client(served.address) as client:
        for _ in range(3):
            assert client.ask("GET", "/remember").body == b"1"


def test_a_task_that_nobody_keeps_serves_the_next_request_too(served: Served):
    with Client(served.address) as client:
        assert len({client.ask("GET", "/reused").body for _ in range(20)}) == 1


def test_an_answer_that_breaks_never_ends_like_a_whole_one_for_http_1_0(served: Served):
    with Client(served.address) as client:
        client.send(request_bytes("GET", "/breaks", version="1.0"))
        with pytest.raises(ConnectionResetError):
            b"".join(iter(lambda: client.sock.recv(65536), b""))
