"""The server's side of the opening handshake (RFC 6455 section 4.2): may this become a websocket?"""
from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from hotpath.core.errors import RemoteProtocolError
from hotpath.core.wire.ws.upgrade import (
    VERSION,
    DeflateParameters,
    accept_deflate,
    accept_token,
    choose_subprotocol,
    is_key,
    read_subprotocols,
)

from .problem import problem
from .request import Request
from .response import Response


@dataclass(frozen=True, slots=True)
class Opening:
    """What was agreed; `lines` are the fields of the 101, each with its CRLF."""

    lines: bytes
    subprotocol: str | None
    deflate: DeflateParameters | None


def judge(request: Request, known: Container[str], wanted: DeflateParameters | None) -> Opening | Response:
    """An upgrade to websocket: what is agreed, or a problem that refuses it.

    `known`: the subprotocols that may be chosen. `wanted`: how we want to compress; None: not at all. An offer of
    compression that cannot be read or taken is passed over, as RFC 7692 section 5.1 has it.
    """
    headers = request.headers
    if request.method != "GET":
        return problem(405, detail="a websocket is opened by GET", headers=(("Allow", "GET"),))
    if headers.get("sec-websocket-version", "").strip() != VERSION:
        return problem(426, detail=f"the only websocket version known is {VERSION}",
                       headers=(("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)))
    key = headers.get("sec-websocket-key", "").strip()
    if not is_key(key):
        return problem(400, detail="Sec-WebSocket-Key must be 16 bytes in base64")
    lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept_token(key)}"]
    subprotocol = None
    if (offered := headers.get("sec-websocket-protocol")) is not None:
        try:
            subprotocol = choose_subprotocol(read_subprotocols(offered), known)
        except RemoteProtocolError as error:
            return problem(400, detail=str(error))
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    agreed = None
    if wanted is not None and (offers := headers.get("sec-websocket-extensions")) is not None:
        accepted = accept_deflate(offers, wanted)
        if accepted is not None:
            agreed, line = accepted
            lines.append(f"Sec-WebSocket-Extensions: {line}")
    return Opening("".join(f"{line}\r\n" for line in lines).encode(), subprotocol, agreed)
