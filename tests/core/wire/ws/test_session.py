"""Two machines on a fake wire: ours, wsproto's and websockets', from the handshake to the last close frame."""
from random import Random

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from hotpath.core.wire.ws import ConnectionType, WSConnection, events
from hotpath.core.wire.ws.connection import ConnectionState
from tests.core.wire.ws.faces import OURS, THEIRS, connect
from tests.wires import Wire

SCRIPT = ["", "short", "ä€😀" * 50, b"", b"\x00\xff" * 40_000, "x" * 70_000, b"last"]


class Face:
    """An end with wsproto's face. A client sends SCRIPT in parts and closes; a server sends back what comes."""

    def __init__(self, module, client: bool, random: Random, deflate: bool, **options) -> None:
        self.events = module.events
        self.client, self.random = client, random
        side = module.connection.CLIENT if client else module.connection.SERVER
        self.conn = module.WSConnection(side, **options)
        self.extensions = [module.extensions.PerMessageDeflate()] if deflate else []
        self.out: list[bytes] = []
        self.got: list[str | bytes] = []
        self.parts: list[str | bytes] = []
        self.pongs = 0
        if client:
            self.say(self.events.Request(host="example.com", target="/chat?x=1", extensions=self.extensions,
                                         subprotocols=["a", "b"]))

    def say(self, event) -> None:
        self.out.append(self.conn.send(event))

    def to_send(self) -> bytes | None:
        if self.out:
            return self.out.pop(0)
        return None if self.conn.state.name == "CLOSED" else b""

    def receive(self, data: bytes) -> None:
        if data == b"":
            return
        self.conn.receive_data(data)
        for event in self.conn.events():
            self.on(type(event).__name__, event)

    def on(self, name: str, event) -> None:
        if name == "Request":
            assert (event.host, event.target, event.subprotocols) == ("example.com", "/chat?x=1", ["a", "b"])
            self.say(self.events.AcceptConnection(subprotocol="b", extensions=self.extensions))
        elif name == "AcceptConnection":
            assert event.subprotocol == "b"
            self.say_script()
        elif name == "Ping":
            self.say(event.response())
        elif name == "Pong":
            self.pongs += 1
            if self.pongs == len(SCRIPT):       # and every echo came before it
                self.say(self.events.CloseConnection(code=1000, reason="done"))
        elif name == "CloseConnection":
            if self.conn.state.name == "REMOTE_CLOSING":
                self.say(event.response())
        else:
            self.parts.append(event.data)
            if event.message_finished:
                whole = type(event.data)().join(self.parts)
                self.parts = []
                self.got.append(whole)
                if not self.client:
                    self.say(type(event)(data=whole))

    def say_script(self) -> None:
        for message in SCRIPT:
            kind = self.events.TextMessage if isinstance(message, str) else self.events.BytesMessage
            cut = self.random.randint(0, len(message))
            if self.random.random() < 0.5:
                self.say(kind(data=message[:cut], message_finished=False))
                message = message[cut:]
            self.say(kind(data=message))
            self.say(self.events.Ping(payload=b"still there?"))


class Websockets:
    """The same end, of the websockets library."""

    def __init__(self, client: bool, deflate: bool) -> None:
        self.client = client
        if client:
            self.protocol = ClientProtocol(parse_uri("ws://example.com/chat?x=1"), subprotocols=["a", "b"],
                                           extensions=[ClientPerMessageDeflateFactory()] if deflate else None)
            self.protocol.send_request(self.protocol.connect())
        else:
            self.protocol = ServerProtocol(subprotocols=["b"],
                                           extensions=[ServerPerMessageDeflateFactory()] if deflate else None)
        self.got: list[str | bytes] = []
        self.parts: list[bytes] = []
        self.text = False
        self.pongs = 0

    def to_send(self) -> bytes | None:
        data = self.protocol.data_to_send()
        if data and data[-1] == b"":
            data.pop()
        if data:
            return b"".join(data)
        return None if self.protocol.state is State.CLOSED else b""

    def receive(self, data: bytes) -> None:
        if data == b"":
            self.protocol.receive_eof()
        else:
            self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            self.on(event)
        assert self.protocol.parser_exc is None or self.protocol.close_exc

    def on(self, event) -> None:
        if isinstance(event, Request):
            self.protocol.send_response(self.protocol.accept(event))
        elif isinstance(event, Response):
            assert self.protocol.subprotocol == "b"
            for message in SCRIPT:
                if isinstance(message, str):
                    self.protocol.send_text(message.encode())
                else:
                    self.protocol.send_binary(message)
                self.protocol.send_ping(b"still there?")
        elif event.opcode is Opcode.PONG:
            self.pongs += 1
            if self.pongs == len(SCRIPT):
                self.protocol.send_close(1000, "done")
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self.message(event)

    def message(self, frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self.text = frame.opcode is Opcode.TEXT
        self.parts.append(bytes(frame.data))
        if not frame.fin:
            return
        whole = b"".join(self.parts)
        self.parts = []
        self.got.append(whole.decode() if self.text else whole)
        if not self.client:
            (self.protocol.send_text if self.text else self.protocol.send_binary)(whole)


def end(kind: str, client: bool, random: Random, deflate: bool):
    if kind == "websockets":
        return Websockets(client, deflate)
    if kind == "whole":
        return Face(OURS, client, random, deflate, whole_messages=True)
    return Face(OURS if kind == "ours" else THEIRS, client, random, deflate)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("left", "right"), [
    ("ours", "ours"), ("ours", "wsproto"), ("wsproto", "ours"), ("ours", "websockets"), ("websockets", "ours"),
    ("whole", "websockets"), ("websockets", "whole"),
])
def test_two_ends_shake_hands_echo_and_close(left, right, seed, deflate):
    random = Random(seed)
    client, server = end(left, True, random, deflate), end(right, False, random, deflate)
    Wire(client, server, random, longest=5000).run()
    assert server.got == client.got == SCRIPT
    assert client.pongs == len(SCRIPT)
    for machine in (client, server):
        if isinstance(machine, Face):
            assert machine.conn.state.name == "CLOSED"


@pytest.mark.parametrize("cut", range(3, 12, 2))
def test_a_handshake_cut_into_small_pieces_gives_the_same_events(cut):
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    request = client.send(events.Request(host="h", target="/"))
    for at in range(0, len(request), cut):
        server.receive_data(request[at:at + cut])
    assert [type(event) for event in server.events()] == [events.Request]
    # The first frame comes with the answer.
    answer = server.send(events.AcceptConnection()) + server.send(events.TextMessage(data="first"))
    got = []
    for at in range(0, len(answer), cut):
        client.receive_data(answer[at:at + cut])
        got += client.events()
    assert isinstance(got[0], events.AcceptConnection)
    assert "".join(event.data for event in got[1:]) == "first"


BASE = [("Host", "h"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
REQUESTS = {
    "good": BASE,
    "extensions and subprotocols": [
        *BASE, ("Sec-WebSocket-Extensions", "a; b=1, c"), ("Sec-WebSocket-Protocol", "x, y")],
    "two of each": [*BASE, ("Sec-WebSocket-Extensions", "a"), ("Sec-WebSocket-Extensions", "b"), ("Cookie", "c=1")],
    **{f"without {name}": [pair for pair in BASE if pair[0] != name] for name, _ in BASE},
    "version 12": [pair if pair[0] != "Sec-WebSocket-Version" else (pair[0], "12") for pair in BASE],
    "h2c": [pair if pair[0] != "Upgrade" else (pair[0], "h2c") for pair in BASE],
    "connection in a list": [pair if pair[0] != "Connection" else (pair[0], "keep-alive, UPGRADE") for pair in BASE],
}


def answer_to(module, data: bytes):
    """The events, or the refusal's words and hint."""
    conn = module.WSConnection(module.connection.SERVER)
    try:
        conn.receive_data(data)
    except module.utilities.RemoteProtocolError as error:
        return str(error), repr(error.event_hint)
    return [repr(event) for event in conn.events()]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_taken_or_refused_as_by_wsproto(method, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    data = f"{method} /x HTTP/1.1\r\n{lines}\r\n".encode()
    assert answer_to(OURS, data) == answer_to(THEIRS, data)


@pytest.mark.parametrize("name", ["Host", "Connection", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"])
def test_a_header_that_is_no_text_is_the_peers_error(name):
    lines = b"".join(b"%s: %s\r\n" % (key.encode(), value.encode()) for key, value in BASE if key != name)
    words, _ = answer_to(OURS, b"GET / HTTP/1.1\r\n%s: \xc3\xa4..\xff\r\n%s\r\n" % (name.encode(), lines))
    assert words == "Bad HTTP message"


@pytest.mark.parametrize("answer", [
    "permessage-deflate; server_max_window_bits=8", "permessage-deflate; client_max_window_bits=x",
    "permessage-deflate, permessage-deflate", "something",
])
def test_an_answer_that_was_not_offered_is_the_servers_error(answer):
    client = WSConnection(ConnectionType.CLIENT)
    extension = OURS.extensions.PerMessageDeflate()
    request = client.send(events.Request(host="h", target="/", extensions=[extension]))
    (key,) = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
    token = OURS.utilities.generate_accept_token(key).decode()
    with pytest.raises(OURS.utilities.RemoteProtocolError) as caught:
        client.receive_data((
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {token}\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n").encode())
    assert isinstance(caught.value.event_hint, events.RejectConnection)


def test_an_upgrade_that_another_reader_took_is_told_as_a_request():
    server = WSConnection(ConnectionType.SERVER)
    server.initiate_upgrade_connection([(name.encode(), value.encode()) for name, value in BASE], "/x")
    (request,) = server.events()
    assert (request.host, request.target) == ("h", "/x")
    assert server.send(events.AcceptConnection()).startswith(b"HTTP/1.1 101 ")
    assert server.state is ConnectionState.OPEN


def test_a_frame_that_came_before_the_answer_is_not_lost():
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    early = connect(OURS, client=True).send(events.TextMessage(data="early"))
    server.receive_data(client.send(events.Request(host="h", target="/")) + early[:3])
    assert [type(event) for event in server.events()] == [events.Request]
    server.receive_data(early[3:5])
    server.send(events.AcceptConnection())
    server.receive_data(early[5:])
    assert "".join(event.data for event in server.events()) == "early"


def test_a_rejection_with_a_body_reaches_the_client():
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(events.Request(host="h", target="/")))
    client.receive_data(
        server.send(events.RejectConnection(status_code=403, headers=[(b"content-length", b"2")], has_body=True))
        + server.send(events.RejectData(data=b"no")))
    reject, *data = client.events()
    assert (reject.status_code, reject.has_body) == (403, True)
    assert b"".join(event.data for event in data) == b"no"
    assert client.state is server.state is ConnectionState.CLOSED


def test_the_limits_of_a_session_are_those_of_its_connection():
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER, max_message=10)
    server.receive_data(client.send(events.Request(host="h", target="/")))
    assert len(list(server.events())) == 1
    client.receive_data(server.send(events.AcceptConnection()))
    server.receive_data(client.send(events.TextMessage(data="x" * 11)))
    (close,) = server.events()
    assert close.code == 1009
