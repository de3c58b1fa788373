"""`hotpath-echo`: the command."""
from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec

from hotpath import __version__
from hotpath.core.config import ONE_OR_MANY, Address, Size
from hotpath.core.scalars import read_size
from hotpath.core.serve import Options, Request, Response, Router, ServeConfig, WebSocket
from hotpath.core.serve.config import Log, Parser, add_flags
from hotpath.core.serve.service import serve
from hotpath.core.wire.ws.upgrade import DeflateParameters

from .raw import attach

HELLO = Response(b"hello", content_type="text/plain")
# A compressor for each of thousands of sockets would be 300 KiB each; starting anew costs a message a few microseconds.
FORGETFUL = DeflateParameters(server_no_context_takeover=True, client_no_context_takeover=True)

# RFC 6455 section 4.1: a subprotocol is a token of HTTP.
TOKEN = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$"
Token = Annotated[str, msgspec.Meta(pattern=TOKEN)]


class EchoConfig(ServeConfig, frozen=True):
    """What every server understands, and what is echoed; the flags are the same."""

    listen: Annotated[tuple[Address, ...], msgspec.Meta(min_length=1), ONE_OR_MANY] = (Address("127.0.0.1", 9001),)
    log: Log = msgspec.field(default_factory=lambda: Log(access=None))
    raw: bool = False               # answer from C, without a handler; then nothing is compressed
    ws: bool = False                # WebSocket echo on any path, instead of HTTP
    max_message: Size = 16 * 1024 * 1024
    max_frame: Size = 16 * 1024 * 1024
    deflate: bool = True            # accept permessage-deflate where it is offered
    subprotocols: Annotated[tuple[Token, ...], ONE_OR_MANY] = ()
    origins: Annotated[tuple[str, ...], ONE_OR_MANY] = ()   # of pages that may connect; empty: all


# Flags that give one entry each, or say no.
NAMES = {"subprotocols": "--subprotocol", "origins": "--origin", "deflate": "--no-deflate"}


def hello(request: Request) -> Response:
    """Five bytes."""
    return HELLO


def hello_at(request: Request, rest: str) -> Response:
    """The same on any path."""
    return HELLO


def echo(request: Request, socket: WebSocket, rest: str) -> None:
    """Each message back as it came."""
    for message in socket:
        socket.send(message)


def app_of(config: EchoConfig) -> Router:
    """The routes that `config` asks for."""
    app = Router()
    if config.ws:
        options = Options(
            max_message=config.max_message, max_frame=config.max_frame, subprotocols=config.subprotocols,
            deflate=FORGETFUL if config.deflate else None)
        app.websocket("/{rest:path}", origins=config.origins or ("*",), options=options)(echo)
    else:
        app.route("GET", "/")(hello)
        app.route("GET", "/{rest:path}")(hello_at)
    if config.raw:
        app.at_worker(partial(attach, config))
    return app


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; one that is not given is None, and the file's value stands."""
    parser = Parser(
        prog="hotpath-echo", allow_abbrev=False, usage="%(prog)s [OPTION]...",
        description="Answers every HTTP request with hello; with --ws, echoes WebSocket messages on any path. "
                    "Listens on 127.0.0.1:9001 unless told otherwise; /healthz and /metrics are there too.",
        epilog="Signals to the started process: HUP reload, TERM or QUIT drain and stop, USR1 reopen logs, "
               "USR2 upgrade the binary. FILE may hold listen, workers, raw, ws, max_message, max_frame, deflate, "
               "subprotocols and origins, which mean what the flags do, and timeouts, limits, log, pid_file and user.")
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    # The other servers have it; here it may be left out.
    parser.add_argument("command", nargs="?", choices=["serve"], help=argparse.SUPPRESS)
    add_flags(parser)
    parser.add_argument("--raw", action="store_true", default=None,
                        help="answer from C, without a handler or compression")
    ws = parser.add_argument_group("with --ws")
    ws.add_argument("--ws", action="store_true", default=None, help="echo WebSocket messages instead of answering HTTP")
    ws.add_argument("--max-message", metavar="SIZE", type=size,
                    help="the largest message; 0: any; beyond it close 1009 (default: 16m)")
    ws.add_argument("--max-frame", metavar="SIZE", type=size,
                    help="the largest frame; 0: any; beyond it close 1009 (default: 16m)")
    ws.add_argument("--no-deflate", action="store_false", default=None, dest="deflate",
                    help="decline permessage-deflate, which is else accepted when offered")
    ws.add_argument("--subprotocol", metavar="NAME", action="append", dest="subprotocols", type=token,
                    help="may be chosen when offered; repeat it for more (default: none)")
    ws.add_argument("--origin", metavar="ORIGIN", action="append", dest="origins",
                    help="pages from it may connect, those of others get 403; repeat it for more (default: any)")
    return parser.parse_args(argv)


def size(text: str) -> int:
    """A size as the file spells it, for argparse."""
    try:
        return int(read_size(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def token(text: str) -> str:
    """A subprotocol's name, for argparse."""
    if re.search(TOKEN, text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a subprotocol; allowed: letters, digits and !#$%&'*+-.^_`|~")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit status: 0, or 2 for a bad file or flag."""
    return serve(app_of, arguments(argv), model=EchoConfig, names=NAMES)
