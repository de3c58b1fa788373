"""Relays the requests of one browser connection to programs of projects, one after the other."""
from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from hotpath.core.errors import LocalProtocolError, RemoteProtocolError
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import Task, spawn, timeout
from hotpath.core.wire import http1
from hotpath.ide.errors import Refusal
from hotpath.ide.sandbox import Running

from . import heads
from .answers import answer
from .line import HttpLine
from .tunnel import tunnel

log = logging.getLogger(__name__)

HEAD_S = 30.0               # for a request's head; an idle connection ends then, too
STALL_S = 300.0             # nobody takes or sends anything: then the exchange is dead
# Of a request's body that its program did not want: more, or later, is not worth the connection.
MAX_UNREAD = 256 * 1024
UNREAD_S = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A port of a project."""

    id: str
    port: int


class Refused(Exception):
    """Nothing is relayed; we answer ourselves."""

    def __init__(self, status: int, title: str, text: str, *, reloads: bool = False) -> None:
        """What the browser is told."""
        super().__init__(text)
        self.status, self.title, self.text, self.reloads = status, title, text, reloads


class Browser:
    """One connection of a browser."""

    def __init__(
        self, stream: Stream, find: Callable[[bytes], Place | None], running: Callable[[str], Running | None],
        room: Callable[[Place], bool], leave: Callable[[Place], None]
    ) -> None:
        """`find`: what a Host means; None: it is none of ours. `room` and `leave`: one more exchange, one less."""
        peer = stream.peer
        self.line = HttpLine(stream, http1.SERVER)
        self._client = str(peer[0] if isinstance(peer, tuple) else peer).encode()
        self._find, self._running, self._room, self._leave = find, running, room, leave
        self._program: HttpLine | None = None       # kept open between requests
        self._place: Place | None = None            # where that leads

    def serve(self) -> None:
        """A task: until either side ends it."""
        try:
            while self._one():
                self.line.http.start_next_cycle()
        except (OSError, TimeoutError, RemoteProtocolError, LocalProtocolError) as error:
            log.debug("preview connection ended cause=%s", error)
        finally:
            self._drop_program()
            self.line.close(politely=not self.line.closed)

    def _one(self) -> bool:
        """One exchange; whether another may follow on this connection."""
        as_page = False
        try:
            request = self._request()
            if request is None:
                return False
            fields = list(request.headers.raw_items())
            as_page = b"text/html" in (heads.value_of(fields, b"accept") or b"")
            place = self._checked(request, fields)
            if not self._room(place):
                raise Refused(503, "Too many connections", "This program is asked too much at once.", reloads=True)
            try:
                return self._relay(request, fields, place)
            finally:
                self._leave(place)
        except Refused as refused:
            return self._answer(refused, as_page)

    def _request(self) -> http1.Request | None:
        """The next one; None: there is none."""
        try:
            with timeout(HEAD_S):
                event = self.line.next()
        except RemoteProtocolError as error:
            raise Refused(error.error_status_hint, "Bad request", str(error)) from error
        except TimeoutError:
            if self.line.http.trailing_data[0]:
                raise Refused(408, "Request timeout", f"The request's head did not come within {HEAD_S:g} s.") from None
            return None
        return event if isinstance(event, http1.Request) else None

    def _checked(self, request: http1.Request, fields: heads.Fields) -> Place:
        """Where it goes. Refused."""
        hosts = [value for name, value in fields if name.lower() == b"host"]
        if len(hosts) != 1:
            raise Refused(400, "Bad request", "Exactly one Host field is needed.")
        is_path = request.target.startswith(b"/") and request.method != b"CONNECT"
        if not is_path and not (request.method == b"OPTIONS" and request.target == b"*"):
            raise Refused(400, "Bad request", "The request's target must be a path that begins with /.")
        coding = heads.value_of(fields, b"transfer-encoding")
        if coding is not None and (heads.value_of(fields, b"content-length") is not None
                                   or coding.strip().lower() != b"chunked" or request.http_version != b"1.1"):
            raise Refused(400, "Bad request", "The body's length is said in two ways, or in one that nobody reads.")
        place = self._find(hosts[0])
        if place is None:
            raise Refused(404, "No such preview", "Open the preview from its project: the address is made there.")
        return place

    def _relay(self, request: http1.Request, fields: heads.Fields, place: Place) -> bool:
        upgrade = heads.wants_upgrade(fields)
        has_body = bool(heads.framing(fields)) and heads.value_of(fields, b"content-length") != b"0"
        onward = http1.Request(
            method=request.method, target=request.target,
            headers=heads.to_program(fields, client=self._client, host=heads.value_of(fields, b"host") or b"",
                                     upgrade=None if has_body else upgrade))
        program, event = self._ask(onward, place, has_body)
        pump: Task[None] | None = None
        if has_body:
            if self.line.http.they_are_waiting_for_100_continue:
                self.line.send(http1.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            chunked = heads.value_of(fields, b"transfer-encoding") is not None
            pump = spawn(self._pump_request, program, chunked, name="ide preview body")
        else:
            self._finish_request(program)
        self.line.on_gone = program.close       # nobody is left to answer
        try:
            if self.line.is_gone:
                return False
            response = self._response(program, event, request)
            if response is None:
                return False
            if isinstance(response, http1.InformationalResponse):
                self._switch(program, response)
                return False
            self._pass_body(program, response, request)
        finally:
            self.line.on_gone = None
            if pump is not None and not pump.done:
                pump.cancel()
                pump.join()
        return self._settle(program)

    def _ask(self, onward: http1.Request, place: Place, has_body: bool) -> tuple[HttpLine, http1.Event | None]:
        """Send the head to the program: on the connection that is there, or on a new one. Refused.

        A program may close an idle connection just as we use it. Without a body nothing is lost: it is asked again.
        """
        kept = self._kept(place)
        if kept is not None and not has_body and onward.method in (b"GET", b"HEAD", b"OPTIONS"):
            try:
                kept.send(onward, STALL_S)
                kept.send(http1.EndOfMessage())
                return kept, self._first(kept)
            except (ConnectionError, LocalProtocolError):
                self._drop_program()
                if self.line.is_gone:       # that ended it: nobody asks any more
                    raise
        program = self._dial(place)
        try:
            program.send(onward, STALL_S)
        except OSError as error:
            raise self._silent(place, error) from error
        return program, None

    def _first(self, program: HttpLine) -> http1.Event:
        """The first that a reused connection says. ConnectionError: it was over before. Refused."""
        self.line.on_gone = program.close
        try:
            event = program.next(STALL_S)
        except (TimeoutError, RemoteProtocolError) as error:
            raise self._no_answer(error) from error
        finally:
            self.line.on_gone = None
        if isinstance(event, http1.ConnectionClosed):
            raise ConnectionResetError("the program closed the connection")
        return event

    def _kept(self, place: Place) -> HttpLine | None:
        if self._program is not None and (self._place != place or not self._program.is_empty):
            self._drop_program()
        return self._program

    def _dial(self, place: Place) -> HttpLine:
        self._drop_program()
        running = self._running(place.id)
        if running is None:
            raise Refused(502, "The project is not running", "Start it, and then its program.", reloads=True)
        try:
            fd = running.connect(place.port)
        except (OSError, Refusal) as error:
            raise self._silent(place, error) from error
        sock = socket.socket(fileno=fd)
        try:
            self._program = HttpLine(Stream(self.line.stream.loop, sock), http1.CLIENT)
        except BaseException:
            sock.close()
            raise
        self._place = place
        return self._program

    def _drop_program(self) -> None:
        if self._program is not None:
            self._program.close()
            self._program = None

    @staticmethod
    def _silent(place: Place, error: Exception) -> Refused:
        return Refused(502, "Nothing answers yet", f"No program of the project takes connections on port {place.port} "
                       f"({error}). This page tries again by itself.", reloads=True)

    def _no_answer(self, error: Exception) -> Refused:
        self._drop_program()
        if isinstance(error, TimeoutError):
            return Refused(504, "No answer", f"The program said nothing for {STALL_S:g} s.", reloads=True)
        return Refused(502, "No HTTP", f"What answers on this port does not speak HTTP: {error}")

    def _finish_request(self, program: HttpLine) -> None:
        """The request has no body: read its end here, and say it there."""
        event = self.line.next(HEAD_S)
        while not isinstance(event, http1.EndOfMessage):
            event = self.line.next(HEAD_S)
        if program.http.our_state is http1.SEND_BODY:
            program.send(http1.EndOfMessage(), STALL_S)

    def _pump_request(self, program: HttpLine, chunked: bool) -> None:
        """A task: the body, as fast as the program takes it. What goes wrong ends the program's connection."""
        try:
            while True:
                event = self.line.next(STALL_S)
                if isinstance(event, http1.EndOfMessage):
                    program.send(http1.EndOfMessage(
                        headers=heads.trailers(list(event.headers.raw_items())) if chunked else []), STALL_S)
                    return
                if not isinstance(event, http1.Data):
                    raise ConnectionAbortedError("the request ended before its body did")
                program.send(event, STALL_S)
        except (OSError, TimeoutError, RemoteProtocolError, LocalProtocolError) as error:
            log.debug("preview request body ended cause=%s", error)
            program.close()

    def _response(
        self, program: HttpLine, event: http1.Event | None, request: http1.Request
    ) -> http1.Response | http1.InformationalResponse | None:
        """The final head, or 101; others are passed on meanwhile. None: the browser has gone. Refused."""
        while True:
            try:
                heard = event if event is not None else program.next(STALL_S)
            except (TimeoutError, RemoteProtocolError) as error:
                raise self._no_answer(error) from error
            except OSError as error:
                heard = http1.ConnectionClosed()
                log.debug("preview program ended cause=%s", error)
            event = None
            if self.line.is_gone:
                return None
            if isinstance(heard, http1.Response):
                return heard
            if isinstance(heard, http1.InformationalResponse):
                if heard.status_code == 101:
                    return heard
                # 100 we have said ourselves; HTTP/1.0 knows none of them.
                if heard.status_code != 100 and request.http_version == b"1.1":
                    self.line.send(http1.InformationalResponse(
                        status_code=heard.status_code, headers=heads.to_browser(list(heard.headers.raw_items())),
                        reason=heard.reason), STALL_S)
                continue
            self._drop_program()
            raise Refused(502, "No answer", "The program closed the connection without an answer.", reloads=True)

    def _pass_body(self, program: HttpLine, response: http1.Response, request: http1.Request) -> None:
        fields = list(response.headers.raw_items())
        onward = heads.to_browser(fields)
        self.line.send(http1.Response(
            status_code=response.status_code, reason=response.reason, headers=onward), STALL_S)
        chunked = (heads.value_of(onward, b"content-length") is None and request.http_version == b"1.1"
                   and request.method != b"HEAD" and response.status_code not in (204, 304))
        while True:
            event = program.next()           # a stream of events may be silent for hours
            if isinstance(event, http1.EndOfMessage):
                self.line.send(http1.EndOfMessage(
                    headers=heads.trailers(list(event.headers.raw_items())) if chunked else []), STALL_S)
                return
            if not isinstance(event, http1.Data):
                raise ConnectionAbortedError("the program ended before its answer did")
            self.line.send(event, STALL_S)

    def _settle(self, program: HttpLine) -> bool:
        """Make both connections ready for the next request; False: the browser's has to end."""
        http = program.http
        # What came behind the answer (a HEAD's with a body, say) would be taken for the next one.
        if (http.our_state is http1.DONE and http.their_state is http1.DONE and not program.closed
                and not http.trailing_data[0]):
            http.start_next_cycle()
        else:
            self._drop_program()
        return self._drain_request()

    def _drain_request(self) -> bool:
        """What is left of the request's body is read, unless it is much."""
        http, left = self.line.http, MAX_UNREAD
        if http.our_state is http1.MUST_CLOSE or self.line.closed:
            return False
        try:
            with timeout(UNREAD_S):
                while http.their_state is http1.SEND_BODY and left >= 0:
                    event = self.line.next()
                    left -= len(event.data) if isinstance(event, http1.Data) else 0
        except TimeoutError:
            return False
        return http.our_state is http1.DONE and http.their_state is http1.DONE

    def _switch(self, program: HttpLine, response: http1.InformationalResponse) -> None:
        """From now on, bytes both ways."""
        self.line.on_gone = None
        self.line.send(http1.InformationalResponse(
            status_code=101, headers=heads.to_browser(list(response.headers.raw_items()), switching=True),
            reason=response.reason), STALL_S)
        self._program = None
        tunnel(self.line, program, self.line.http.trailing_data[0], program.http.trailing_data[0], STALL_S)

    def _answer(self, refused: Refused, as_page: bool) -> bool:
        http = self.line.http
        if http.our_state not in (http1.IDLE, http1.SEND_RESPONSE):
            return False
        head, body = answer(refused.status, refused.title, refused.text, as_page=as_page, reloads=refused.reloads)
        broken = http.their_state is http1.ERROR or http.they_are_waiting_for_100_continue
        if broken or refused.status in (400, 408):
            head = http1.Response(status_code=head.status_code, reason=head.reason,
                                  headers=[*head.headers.raw_items(), (b"Connection", b"close")])
        self.line.send(head, STALL_S)
        self.line.send(http1.Data(data=body), STALL_S)
        self.line.send(http1.EndOfMessage(), STALL_S)
        return not broken and self._drain_request()
