"""Ours under the names of h11 and wsproto: servers and clients written for them run on it."""
from __future__ import annotations

import subprocess
import sys
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from websockets.sync.client import connect

from hotpath.core.wire import install
from tests.waiting import running, wait_for_port

INSTALL = "from hotpath.core.wire import install; install(h11=True, wsproto=False); "
SERVER = INSTALL + """
import sys
import uvicorn

async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    kind = dict(scope["headers"]).get(b"x-kind", b"none")
    length = [(b"content-length", b"%d" % len(body))] if scope["path"] == "/length" else []
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", kind), *length]})
    for at in range(0, len(body), 1000):
        await send({"type": "http.response.body", "body": body[at:at + 1000], "more_body": True})
    await send({"type": "http.response.body"})

uvicorn.run(app, port=int(sys.argv[1]), http="h11", ws="none", lifespan="off", log_level="warning")
"""
CLIENT = INSTALL + """
import sys
import h11
import httpcore
from hotpath.core.wire import http1

assert h11.Connection is http1.Connection
with httpcore.ConnectionPool(max_connections=1) as pool:
    for _ in range(3):
        for body in (b"", b"hello", b"x" * 100000, iter([b"one", b"two"])):
            answer = pool.request("POST", sys.argv[1], headers={"X-Kind": "test"}, content=body)
            sys.stdout.write(f"{answer.status} {len(answer.content)} {dict(answer.headers)[b'X-Kind'].decode()}\\n")
"""


WEBSOCKETS = """
from hotpath.core.wire import install
install()
import sys
import uvicorn

async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})

uvicorn.run(app, port=int(sys.argv[1]), http="h11", ws="wsproto", lifespan="off", log_level="warning")
"""


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-P", "-c", code, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_name_of_h11_is_there():
    assert python(INSTALL + """
import sys
ours = dict(sys.modules)
for name in [name for name in sys.modules if name.partition(".")[0] == "h11"]:
    del sys.modules[name]
import h11 as theirs
assert theirs is not ours["h11"]
assert (ours["h11"].__version__, ours["h11"].PRODUCT_ID) == (theirs.__version__, theirs.PRODUCT_ID)
private = {"_connection": ["Connection", "DEFAULT_MAX_INCOMPLETE_EVENT_SIZE"], "_events": theirs._events.__all__,
           "_headers": ["Headers", "get_comma_header", "set_comma_header", "normalize_and_validate"],
           "_state": [*theirs._state.__all__, "ConnectionState"],
           "_util": ["LocalProtocolError", "RemoteProtocolError", "ProtocolError", "Sentinel", "bytesify"]}
print([name for name in [*theirs.__all__, "MIGHT_SWITCH_PROTOCOL"] if not hasattr(ours["h11"], name)],
      [name for part in private for name in private[part] if not hasattr(ours["h11." + part], name)])
""") == "[] []\n"


def test_install_comes_before_the_real_one():
    import h11

    assert h11.__name__ == "h11"
    with pytest.raises(RuntimeError, match="h11"):
        install(h11=True, wsproto=False)
    install(h11=False, wsproto=False)


def test_install_twice_is_install_once():
    assert python(INSTALL * 2 + "import h11; print(h11.stands_in)") == "True\n"


def test_uvicorn_serves_on_it(port: int):
    with running([sys.executable, "-P", "-c", SERVER, str(port)]):
        wait_for_port(port)
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        for path in ("/length", "/chunked"):
            for body in (b"", b"hello", b"x" * 100000):
                client.request("POST", path, body, {"X-Kind": "test"})
                answer = client.getresponse()
                assert (answer.status, answer.read(), answer.headers["x-kind"]) == (200, body, "test")
            client.request("POST", path, iter([b"one", b"two"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            assert client.getresponse().read() == b"onetwo"
        client.sock.sendall(b"nonsense\r\n\r\n")
        assert client.sock.recv(12) == b"HTTP/1.1 400"
        client.close()


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_uvicorn_speaks_websocket_on_it(compression: str | None, port: int):
    with running([sys.executable, "-P", "-c", WEBSOCKETS, str(port)]):
        wait_for_port(port)
        with connect(f"ws://127.0.0.1:{port}/", compression=compression) as socket:
            for message in ("hello", b"bytes", "", "é" * 1000, b"x" * 70000):
                socket.send(message)
                assert socket.recv(timeout=20) == message


class EchoHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("X-Kind", self.headers["X-Kind"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test reads the answers."""


def test_httpcore_asks_with_it():
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        said = python(CLIENT, f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert said == "200 0 test\n200 5 test\n200 100000 test\n200 6 test\n" * 3
