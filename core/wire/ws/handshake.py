"""The opening handshake over HTTP/1.1 (RFC 6455 section 4), both sides."""
from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import NoReturn

from hotpath.core.wire import http1

from .connection import Connection, ConnectionState, ConnectionType
from .events import AcceptConnection, Event, RejectConnection, RejectData, Request
from .extensions import Extension
from .typing import Headers
from .utilities import (
    LocalProtocolError,
    RemoteProtocolError,
    generate_accept_token,
    generate_nonce,
    normed_header_dict,
    split_comma_header,
)

__all__ = ["WEBSOCKET_UPGRADE", "WEBSOCKET_VERSION", "H11Handshake", "client_extensions_handshake",
           "server_extensions_handshake"]

WEBSOCKET_VERSION = b"13"
WEBSOCKET_UPGRADE = b"websocket"
# Of an answer, what no AcceptConnection repeats as an extra header.
OURS = frozenset({b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-extensions",
                  b"sec-websocket-protocol"})


# The messages of refusals are those of wsproto, which callers (and its tests) compare.
def refuse(message: str, hint: RejectConnection | None = None) -> NoReturn:
    """The peer's part of the handshake is wrong."""
    raise RemoteProtocolError(message, event_hint=hint or RejectConnection())


class H11Handshake:
    """One side of it: bytes of HTTP to events and back, until `connection` is there."""

    def __init__(self, connection_type: ConnectionType, *, max_message: int | None = None, max_frame: int | None = None,
                 whole_messages: bool = False) -> None:
        """The limits and `whole_messages` are for the Connection."""
        self.client = connection_type is ConnectionType.CLIENT
        self._type = connection_type
        self._max_message = max_message
        self._max_frame = max_frame
        self._whole_messages = whole_messages
        self._state = ConnectionState.CONNECTING
        self._http = http1.Connection(http1.CLIENT if self.client else http1.SERVER)
        self._connection: Connection | None = None
        self._events: deque[Event] = deque()
        self._request: Request | None = None
        self._nonce: bytes | None = None

    @property
    def state(self) -> ConnectionState:
        """CONNECTING, OPEN, REJECTING or CLOSED."""
        return self._state

    @property
    def connection(self) -> Connection | None:
        """What the handshake led to; None before its end."""
        return self._connection

    def initiate_upgrade_connection(self, headers: Headers, path: bytes | str) -> None:
        """Take a request that somebody else has read already. LocalProtocolError for a client."""
        if self.client:
            raise LocalProtocolError("a client is not asked for an upgrade")
        request = http1.Request(method=b"GET", target=path, headers=headers)
        self.receive_data(http1.Connection(http1.CLIENT).send(request))

    def events(self) -> Generator[Event, None, None]:
        """What happened."""
        while self._events:
            yield self._events.popleft()

    def send(self, event: Event) -> bytes:
        """The bytes that say `event`. LocalProtocolError when it cannot be said now."""
        if isinstance(event, Request):
            return self._ask(event)
        if isinstance(event, AcceptConnection):
            return self._accept(event)
        if isinstance(event, RejectConnection):
            return self._reject(event)
        if isinstance(event, RejectData):
            return self._reject_data(event)
        raise LocalProtocolError(f"{event} cannot be sent during the handshake")

    def receive_data(self, data: bytes | None) -> None:
        """What the peer sent; None or nothing: it sends no more. RemoteProtocolError when the handshake fails."""
        self._http.receive_data(data or b"")
        while True:
            try:
                event = self._http.next_event()
            except http1.RemoteProtocolError as error:
                raise RemoteProtocolError("Bad HTTP message", event_hint=RejectConnection()) from error
            if event is http1.NEED_DATA or event is http1.PAUSED or isinstance(event, http1.ConnectionClosed):
                break
            if self.client:
                assert isinstance(event, http1.Event)
                self._answered(event)
            elif isinstance(event, http1.Request):
                self._events.append(self._asked(event))

    # A server.

    def _asked(self, event: http1.Request) -> Request:
        """Is this a request for a WebSocket (section 4.2.1)?"""
        if event.method != b"GET":
            refuse("Request method must be GET")
        headers: Headers = []
        lists: dict[bytes, list[str]] = {b"sec-websocket-extensions": [], b"sec-websocket-protocol": []}
        host = None
        try:
            for name, value in event.headers:
                if name in lists:
                    lists[name].extend(split_comma_header(value))
                elif name == b"host":
                    host = value.decode("idna")
                else:
                    headers.append((name, value))
            last = dict(headers)
            tokens = split_comma_header(last.get(b"connection", b""))
            target = event.target.decode("ascii")
        except UnicodeError as error:
            raise RemoteProtocolError("Bad HTTP message", event_hint=RejectConnection()) from error
        version = last.get(b"sec-websocket-version")
        if "upgrade" not in map(str.lower, tokens):
            refuse("Missing header, 'Connection: Upgrade'")
        if version != WEBSOCKET_VERSION:
            refuse("Missing header, 'Sec-WebSocket-Version'", RejectConnection(
                status_code=426 if version else 400, headers=[(b"Sec-WebSocket-Version", WEBSOCKET_VERSION)]))
        if b"sec-websocket-key" not in last:
            refuse("Missing header, 'Sec-WebSocket-Key'")
        if last.get(b"upgrade", b"").lower() != WEBSOCKET_UPGRADE:
            refuse("Missing header, 'Upgrade: websocket'")
        if host is None:
            refuse("Missing header, 'Host'")
        self._request = Request(host=host, target=target, extensions=lists[b"sec-websocket-extensions"],
                                extra_headers=headers, subprotocols=lists[b"sec-websocket-protocol"])
        return self._request

    def _accept(self, event: AcceptConnection) -> bytes:
        if self._request is None or self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError("there is no request to accept")
        key = normed_header_dict(self._request.extra_headers)[b"sec-websocket-key"]
        headers = [(b"Upgrade", WEBSOCKET_UPGRADE), (b"Connection", b"Upgrade"),
                   (b"Sec-WebSocket-Accept", generate_accept_token(key))]
        if event.subprotocol is not None:
            if event.subprotocol not in self._request.subprotocols:
                raise LocalProtocolError(f"the client did not ask for the subprotocol {event.subprotocol}")
            headers.append((b"Sec-WebSocket-Protocol", event.subprotocol.encode("ascii")))
        if event.extensions:
            offers = [offer for offer in self._request.extensions if isinstance(offer, str)]
            accepts = server_extensions_handshake(offers, event.extensions)
            if accepts:
                headers.append((b"Sec-WebSocket-Extensions", accepts))
        answer = self._http.send(http1.InformationalResponse(
            status_code=101, headers=headers + list(event.extra_headers), reason=b"Switching Protocols"))
        self._open(event.extensions)
        return answer or b""

    def _reject(self, event: RejectConnection) -> bytes:
        if self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError(f"nothing can be rejected in state {self._state}")
        headers = list(event.headers)
        if not event.has_body:
            headers.append((b"content-length", b"0"))
        data = self._http.send(http1.Response(status_code=event.status_code, headers=headers)) or b""
        self._state = ConnectionState.REJECTING
        return data if event.has_body else data + self._end_of_rejection()

    def _reject_data(self, event: RejectData) -> bytes:
        if self._state is not ConnectionState.REJECTING:
            raise LocalProtocolError(f"nothing is being rejected in state {self._state}")
        data = self._http.send(http1.Data(data=event.data)) or b""
        return data + self._end_of_rejection() if event.body_finished else data

    def _end_of_rejection(self) -> bytes:
        data = self._http.send(http1.EndOfMessage()) or b""
        self._state = ConnectionState.CLOSED
        return data

    # A client.

    def _ask(self, request: Request) -> bytes:
        self._request = request
        self._nonce = generate_nonce()
        headers = [(b"Host", request.host.encode("idna")), (b"Upgrade", WEBSOCKET_UPGRADE), (b"Connection", b"Upgrade"),
                   (b"Sec-WebSocket-Key", self._nonce), (b"Sec-WebSocket-Version", WEBSOCKET_VERSION)]
        if request.subprotocols:
            headers.append((b"Sec-WebSocket-Protocol", ", ".join(request.subprotocols).encode("ascii")))
        offers = client_offers(request.extensions)
        if offers:
            headers.append((b"Sec-WebSocket-Extensions", offers))
        return self._http.send(http1.Request(
            method=b"GET", target=request.target.encode("ascii"), headers=headers + list(request.extra_headers))) or b""

    def _answered(self, event: http1.Event) -> None:
        if isinstance(event, http1.InformationalResponse) and event.status_code == 101:
            self._events.append(self._accepted(event))
        elif isinstance(event, http1.InformationalResponse | http1.Response):
            final = isinstance(event, http1.Response)
            self._state = ConnectionState.REJECTING if final else ConnectionState.CLOSED
            self._events.append(RejectConnection(
                status_code=event.status_code, headers=list(event.headers), has_body=final))
        elif isinstance(event, http1.Data):
            self._events.append(RejectData(data=bytes(event.data), body_finished=False))
        elif isinstance(event, http1.EndOfMessage):
            self._events.append(RejectData(data=b"", body_finished=True))
            self._state = ConnectionState.CLOSED

    def _accepted(self, event: http1.InformationalResponse) -> AcceptConnection:
        """Does this accept what we asked for (section 4.1)?"""
        if self._request is None or self._nonce is None:
            refuse("101 before anything was asked")
        headers = [(name, value) for name, value in event.headers if name not in OURS]
        last = dict(event.headers)
        try:
            tokens = split_comma_header(last.get(b"connection", b""))
            answer = last.get(b"sec-websocket-extensions")
            accepts = [] if answer is None else split_comma_header(answer)
            chosen = last.get(b"sec-websocket-protocol")
            subprotocol = None if chosen is None else chosen.decode("ascii")
        except UnicodeError as error:
            raise RemoteProtocolError("Bad HTTP message", event_hint=RejectConnection()) from error
        if "upgrade" not in map(str.lower, tokens):
            refuse("Missing header, 'Connection: Upgrade'")
        if last.get(b"upgrade", b"").lower() != WEBSOCKET_UPGRADE:
            refuse("Missing header, 'Upgrade: websocket'")
        if last.get(b"sec-websocket-accept") != generate_accept_token(self._nonce):
            refuse("Bad accept token")
        if subprotocol is not None and subprotocol not in self._request.subprotocols:
            refuse(f"unrecognized subprotocol {subprotocol}")
        offered = [extension for extension in self._request.extensions if isinstance(extension, Extension)]
        extensions = client_extensions_handshake(accepts, offered)
        self._open(extensions)
        return AcceptConnection(extensions=extensions, extra_headers=headers, subprotocol=subprotocol)

    def _open(self, extensions: list[Extension]) -> None:
        """Frames from here on. What came behind the handshake is the first of them."""
        self._connection = Connection(
            self._type, extensions, self._http.trailing_data[0], max_message=self._max_message,
            max_frame=self._max_frame, whole_messages=self._whole_messages)
        self._state = ConnectionState.OPEN

    def __repr__(self) -> str:
        """Which side, and how far."""
        return f"{type(self).__name__}(client={self.client}, state={self._state})"


def client_offers(extensions: Sequence[Extension] | Sequence[str]) -> bytes:
    """The value of a client's Sec-WebSocket-Extensions; empty: there is nothing to offer."""
    offers: dict[str, str | bool] = {}
    for extension in extensions:
        if not isinstance(extension, Extension):
            raise LocalProtocolError(f"{extension!r} is no Extension")
        offers[extension.name] = extension.offer()
    return listed(offers)


def server_extensions_handshake(requested: Iterable[str], supported: list[Extension]) -> bytes | None:
    """Which of the requested are agreed on: the value of the answer's header, None without any."""
    accepts: dict[str, str | bool] = {}
    for offer in requested:
        name = offer.split(";", 1)[0].strip()
        for extension in supported:
            if extension.name == name:
                accept = extension.accept(offer)
                if accept is not None and accept is not False:
                    accepts[name] = accept
    return listed(accepts) or None


def listed(parameters: dict[str, str | bool]) -> bytes:
    """Extensions and their parameters as a header's value, without those that are False."""
    return b", ".join((f"{name}; {said}" if said and said is not True else name).encode("ascii")
                      for name, said in parameters.items() if said is not False)


def client_extensions_handshake(accepted: Iterable[str], supported: Sequence[Extension]) -> list[Extension]:
    """Which of the offered the server took. RemoteProtocolError when it took another, or not as it may."""
    extensions = []
    for accept in accepted:
        name = accept.split(";", 1)[0].strip()
        extension = next((extension for extension in supported if extension.name == name), None)
        if extension is None:
            refuse(f"unrecognized extension {name}")
        if extension in extensions:
            refuse(f"extension {name} twice")
        try:
            extension.finalize(accept)
        except ValueError as error:
            raise RemoteProtocolError(f"extension {name}: {error}", event_hint=RejectConnection()) from error
        extensions.append(extension)
    return extensions
