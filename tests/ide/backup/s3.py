"""A real S3 over HTTP (moto's server), and a proxy before it that fails when told to."""
import contextlib
import copy
import functools
import http.client
import json
import os
import socket
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import boto3
import msgspec
import pytest
from moto.server import ThreadedMotoServer

from hotpath.ide.backup import Backups
from hotpath.ide.backup.store import Opener
from hotpath.ide.config import BackupConfig, IdeConfig

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
               "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
               "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
FACTS = {"template": "python", "run": "python main.py"}


@pytest.fixture(scope="session")
def s3_server():
    """The URL of one server for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@functools.cache
def client_of(url):
    """One for all who look into a store: a client takes a tenth of a second to make."""
    return boto3.client("s3", endpoint_url=url)


@functools.cache
def opener_of(url):
    """The same for our own."""
    return Opener(BackupConfig(bucket="any", endpoint=url))


class Bucket:
    """A bucket of its own, and looks into it."""

    def __init__(self, url, endpoint=None):
        self.url = url
        self.endpoint = endpoint or url
        self.name = f"bucket-{uuid.uuid4().hex}"
        self.client = client_of(url)
        self.client.create_bucket(Bucket=self.name)

    def config(self, **changes):
        return msgspec.structs.replace(IdeConfig(), backup=BackupConfig(
            **{"bucket": self.name, "prefix": "pre/fix", "endpoint": self.endpoint, **changes}))

    def backups(self, now=None, **changes):
        made = Backups(self.config(**changes), *([] if now is None else [now]))
        made._opener = opener_of(self.endpoint)
        return made

    def through(self, url):
        """The same bucket at another address."""
        same = copy.copy(self)
        same.endpoint = url
        return same

    def keys(self, under=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"pre/fix/{under}")
        return {one["Key"].removeprefix("pre/fix/") for page in pages for one in page.get("Contents", ())}

    def blobs(self, id="it"):
        return {key.rpartition("/")[2] for key in self.keys(f"{id}/blobs/")}

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=f"pre/fix/{key}")["Body"].read()

    def put(self, key, data):
        self.client.put_object(Bucket=self.name, Key=f"pre/fix/{key}", Body=data)

    def manifest(self, seq, id="it"):
        return json.loads(self.get(f"{id}/manifests/{seq:08}.json"))

    def remove(self, key):
        self.client.delete_object(Bucket=self.name, Key=f"pre/fix/{key}")


@pytest.fixture
def bucket(s3_server):
    return Bucket(s3_server)


class Faulty:
    """A proxy that asks `fault(method, path)` what to do with each request.

    None: pass it on. An int: answer with that status. "drop": close at once. "half": send it on, and close in the
    middle of the answer. "lost": send it on, and close instead of answering.
    """

    def __init__(self, url):
        self.fault = lambda method, path: None
        self.seen = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.command, self.path))
                what = outer.fault(self.command, self.path)
                if what == "drop":
                    return self.cut()
                if isinstance(what, int):
                    return self.answer(what, [("Content-Type", "application/xml")], b"<Error><Code>X</Code></Error>")
                peer = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
                try:
                    peer.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() != "expect":
                            peer.putheader(name, value)
                    peer.endheaders(body)
                    reply = peer.getresponse()
                    data = reply.read()
                finally:
                    peer.close()
                if what == "lost":
                    return self.cut()
                headers = [(name, value) for name, value in reply.getheaders()
                           if name.lower() not in ("transfer-encoding", "connection")]
                return self.answer(reply.status, headers, data, half=what == "half")

            def answer(self, status, headers, data, *, half=False):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() != "content-length" or self.command == "HEAD":
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:len(data) // 2] if half else data)
                if half:
                    self.cut()

            def cut(self):
                self.close_connection = True
                self.wfile.flush()
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def times(self, n, what, *, method, within):
        """The first `n` requests of this method with `within` in their path go wrong."""
        left = [n]

        def fault(asked, path):
            if asked == method and within in path and left[0]:
                left[0] -= 1
                return what
            return None

        self.fault = fault

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="session")
def proxy(s3_server):
    """One for all tests."""
    made = Faulty(s3_server)
    yield made
    made.close()


@pytest.fixture
def faulty(proxy):
    """It does nothing wrong until it is told to, and not any more afterwards."""
    yield proxy
    proxy.fault = lambda method, path: None


def tree(root):
    """Everything below a folder: path -> (kind, mode, content or target)."""
    found = {}
    for folder, names, files in os.walk(bytes(root)):
        for name in names + files:
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, bytes(root))
            mode = os.lstat(path).st_mode & 0o777
            if os.path.islink(path):
                found[shown] = ("link", 0, os.readlink(path))
            elif os.path.isdir(path):
                found[shown] = ("dir", mode, None)
            else:
                with open(path, "rb") as file:
                    found[shown] = ("file", mode, file.read())
    return found
