"""A program of a project that listens: the standard library's server, and what it cannot do, on plain sockets.

Runs inside a sandbox, with nothing but Python.
"""
import base64
import hashlib
import json
import select
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SENT = []           # bytes that left, piece by piece
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            trailers = []
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                trailers.append(line.decode().strip())
            return whole, trailers
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)), []

    def raw(self, text):
        self.wfile.write(text)
        self.wfile.flush()

    def handle_expect_100(self):
        return True

    def answer(self, data, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/ws":
            return self.websocket()
        if path == "/upgrade":
            self.raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nwelcome ")
            self.close_connection = True
            while piece := self.connection.recv(65536):
                if piece == b"die":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return self.connection.close()
                self.raw(piece)
            self.raw(b" bye")
            return None
        if path == "/early":
            self.close_connection = True
            return self.answer(b"no, thank you", 413)
        if path == "/stuck":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready")
            gone = select.poll()        # reads nothing, and notices the end
            gone.register(self.connection, select.POLLRDHUP)
            gone.poll()
            self.close_connection = True
            return None
        body, trailers = self.body()
        if path == "/echo":
            return self.answer(json.dumps({
                "method": self.command, "path": self.path, "headers": [list(one) for one in self.headers.items()],
                "body": len(body), "sum": hashlib.sha256(body).hexdigest(), "trailers": trailers,
                "peer": self.client_address[1]}).encode())
        if path == "/chunked":
            self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                     b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\nSet-Cookie: a=b\r\n\r\n")
        elif path == "/until-close":
            self.raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            self.close_connection = True
        elif path == "/both":
            self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        elif path == "/hints":
            self.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif path == "/half":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
            self.close_connection = True
        elif path == "/half-chunked":
            self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            self.close_connection = True
        elif path == "/junk":
            self.raw(b"220 mail.example.com ESMTP\r\n")
            self.close_connection = True
        elif path == "/nothing":
            self.close_connection = True
        elif path == "/once":
            self.answer(b"ok")
            self.close_connection = True        # without having said so
        elif path == "/204":
            self.raw(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n")
        elif path == "/304":
            self.raw(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n')
        elif path == "/cookies":
            self.answer(b"ok", headers=[("Set-Cookie", "mine=1; Path=/"), ("Set-Cookie", "hotpath_ide_8086=stolen"),
                                        ("Set-Cookie", "Hotpath_IDE=stolen"), ("Connection", "x-private"),
                                        ("X-Private", "1"), ("Keep-Alive", "timeout=5")])
        elif path == "/big":
            n = int(self.path.partition("?")[2])
            self.send_response(200)
            self.send_header("Content-Length", str(n))
            self.end_headers()
            sent = 0
            while sent < n:
                piece = b"x" * min(65536, n - sent)
                self.wfile.write(piece)
                sent += len(piece)
                SENT.append(len(piece))
        elif path == "/sent":
            self.answer(str(sum(SENT)).encode())
        elif path == "/events":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(3):
                self.raw(b"9\r\ndata: %d\n\n\r\n" % i)
                if i < 2:
                    self.connection.settimeout(20)
                    time.sleep(0.01)
            self.raw(b"0\r\n\r\n")
        else:
            self.answer(b"hello from inside\n", headers=[("Content-Type", "text/plain")])
        return None

    do_HEAD = do_POST = do_PUT = do_OPTIONS = do_DELETE = do_GET

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"]
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        self.raw(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            size = head[1] & 127
            if size == 126:
                size = int.from_bytes(self.rfile.read(2), "big")
            elif size == 127:
                size = int.from_bytes(self.rfile.read(8), "big")
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(size)))
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 \
                else b"\x7f" + size.to_bytes(8, "big")
            self.raw(head[:1] + length + data)
            if head[0] & 15 == 8:
                return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print("listening", server.server_port, flush=True)
server.serve_forever()
