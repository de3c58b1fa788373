"""Certificates for tests, made by the `openssl` command, and clients that look at what they are shown."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.clients import Client

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate and its key, PEM files."""

    certificate: Path
    key: Path

    def config(self, **more: object) -> dict[str, object]:
        """As a `tls:` of the proxy's configuration says it."""
        return {"certificate": str(self.certificate), "key": str(self.key), **more}

    def trusting(self) -> ssl.SSLContext:
        """A client that believes in this certificate alone, and wants to be told goodbye."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return context


def openssl(*arguments: str | Path) -> None:
    """Run it. AssertionError with what it said when it fails."""
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_pair(folder: Path, *names: str, kind: Sequence[str] = EC, days: int = 30) -> Pair:
    """A new pair in `folder` for these DNS names, called after the first; `days` may be negative."""
    stem = names[0].replace("*", "any") if names else "nameless"
    pair = Pair(folder / f"{stem}.crt", folder / f"{stem}.key")
    request, extensions = folder / f"{stem}.csr", folder / f"{stem}.ext"
    extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) if names else "")
    openssl("req", "-new", "-newkey", *kind, "-nodes", "-keyout", pair.key, "-subj", f"/CN={stem}", "-out", request)
    openssl("x509", "-req", "-in", request, "-signkey", pair.key, "-days", str(days), "-extfile", extensions,
            "-out", pair.certificate)
    return pair


def careless() -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


class TlsClient(Client):
    """A Client through TLS. The end of the connection without a close_notify is an ssl.SSLEOFError."""

    def __init__(
        self, address: str, context: ssl.SSLContext, *, name: str = "a.example", session: ssl.SSLSession | None = None,
        preface: bytes = b"", prepare: Callable[[Client], None] | None = None,
    ) -> None:
        """Connect, send `preface`, shake hands. `prepare` sees the connection before that."""
        super().__init__(address)
        try:
            if prepare is not None:
                prepare(self)
            self.sock.sendall(preface)
            self.tls = context.wrap_socket(
                self.sock, server_hostname=name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            self.sock.close()
            raise
        self.sock = self.tls


class ByHand:
    """TLS by hand: records are made and read here, and travel as the test likes."""

    def __init__(self, address: str, context: ssl.SSLContext, *, name: str = "a.example") -> None:
        self.client = Client(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def __enter__(self) -> ByHand:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def hello(self) -> bytes:
        """The first flight."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def shake(self, *, n: int = 65536) -> None:
        """The whole handshake; `n` bytes at a time, both ways."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.deliver(self.outgoing.read(), n=n)
                self.incoming.write(self.arrival(n))
            else:
                self.deliver(self.outgoing.read(), n=n)
                return

    def arrival(self, n: int) -> bytes:
        """Some bytes of the peer's. ssl.SSLEOFError at the end."""
        data = self.client.receive(n)
        if not data:
            raise ssl.SSLEOFError("the connection ended")
        return data

    def sealed(self, data: bytes) -> bytes:
        """`data` in records, not sent."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view):]
        return self.outgoing.read()

    def deliver(self, raw: bytes, *, n: int = 65536) -> None:
        """Send these bytes as they are, `n` at a time."""
        for at in range(0, len(raw), n):
            self.client.send(raw[at:at + n])

    def read(self, *, n: int = 65536) -> bytes:
        """Some of what the peer says; b"" for its close_notify. ssl.SSLEOFError when there is none."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(self.arrival(n))
            except ssl.SSLZeroReturnError:
                return b""

    def read_until(self, end: bytes, *, n: int = 65536) -> bytes:
        """What the peer says, up to and with `end`."""
        data = b""
        while end not in data:
            more = self.read(n=n)
            assert more, data
            data += more
        return data
