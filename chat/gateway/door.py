"""Who may open a socket on this gateway? Asked before the 101, of whoever comes with a ticket."""
from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from hotpath.chat.auth import TICKET_S, BadTicket, Ticket, open_ticket
from hotpath.core.serve import Request, Response, problem


class Door:
    """Lets each ticket in once. A used one is remembered until it has expired: no gateway need ask another."""

    def __init__(self, secret: bytes, gateway: str, boot: str, *, now: Callable[[], float] = time.time) -> None:
        """`boot`: of this process; tickets for the one before it are void. `now`: seconds since 1970."""
        self._secret, self._gateway, self._boot, self._now = secret, gateway, boot, now
        self.remembered: set[str] = set()       # serials of used tickets
        self._order: deque[tuple[float, str]] = deque()     # the same, with the time of their entry
        self.draining = False
        self.n_refused = 0

    def __call__(self, request: Request) -> Ticket | Response:
        """The ticket; or what refuses it."""
        if self.draining:
            return problem(503, detail="this gateway is draining: ask /api/connect for another one",
                           headers=(("Retry-After", "1"),))
        try:
            return self._admit(request.query.get("ticket", ""))
        except BadTicket as error:
            self.n_refused += 1
            return problem(401, detail=f"{error}; a new one comes from /api/connect")

    def _admit(self, text: str) -> Ticket:
        if not text:
            raise BadTicket("no ticket")
        now_s = self._now()
        ticket = open_ticket(self._secret, text, gateway=self._gateway, nonce=self._boot, now_s=now_s)
        # By the time of entry, which only rises: a clock that is set back makes us remember longer, never shorter.
        while self._order and self._order[0][0] < now_s - 2 * TICKET_S:
            self.remembered.discard(self._order.popleft()[1])
        if ticket.serial in self.remembered:
            raise BadTicket("the ticket was used already")
        self.remembered.add(ticket.serial)
        self._order.append((now_s, ticket.serial))
        return ticket
