"""The previews' own listener, and what its addresses mean."""
from __future__ import annotations

import base64
import hmac
import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from hashlib import sha256

from hotpath.core.listen import Listeners
from hotpath.core.net.accept import Listener
from hotpath.core.net.loop import Loop
from hotpath.core.net.stream import Stream
from hotpath.core.tasks import spawn
from hotpath.ide.config import IdeConfig
from hotpath.ide.sandbox import Running

from .relay import Browser, Place

log = logging.getLogger(__name__)

KEY_CHARACTERS = 26         # 130 bits: nobody guesses one
MAX_KEYS = 20_000           # the one that was asked for longest ago is forgotten
MAX_CONNECTIONS = 512       # of browsers
MAX_EXCHANGES = 64          # of one project's port at once, waiting sockets among them


class Previews:
    """One per server."""

    def __init__(self, config: IdeConfig, secret: bytes, running: Callable[[str], Running | None]) -> None:
        """`secret`: what the keys are made of, so that they stay the same; `running`: the sandbox of a project."""
        self.port = config.preview.listen.port      # the real one, once it is open
        self._config = config.preview
        self._secret = secret
        self._running = running
        self._keys: OrderedDict[str, Place] = OrderedDict()
        self._busy: Counter[Place] = Counter()
        self._listeners = Listeners()
        self._listening: list[Listener] = []
        self._browsers: set[Browser] = set()
        before, _, behind = config.preview.host.partition("{key}")
        port = r"(?::(\d{1,5}))?"
        self._host = re.compile(f"{re.escape(before)}([a-z2-7]{{{KEY_CHARACTERS}}}){re.escape(behind)}{port}")
        self._local = behind.rpartition(".")[2] == "localhost"

    def key(self, id: str, port: int) -> str:
        """Of a project's port; for ever the same, and known to work from now on."""
        digest = hmac.digest(self._secret, f"preview {id}:{port}".encode(), sha256)
        key = base64.b32encode(digest).decode().lower()[:KEY_CHARACTERS]
        self._keys[key] = Place(id, port)
        self._keys.move_to_end(key)
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return key

    def url(self, id: str, port: int) -> str:
        """Where a browser sees it."""
        return f"http://{self._config.host.replace('{key}', self.key(id, port))}:{self.port}/"

    def open(self, loop: Loop) -> None:
        """Listen. ListenError."""
        (sockets,) = self._listeners.bind([self._config.listen])
        self.port = sockets[0].getsockname()[1]
        self._listening = [loop.listen(sock, self._accept) for sock in sockets]

    def close(self) -> None:
        """End all of it, at once."""
        for listener in self._listening:
            listener.close()
        self._listening = []
        self._listeners.close()
        for browser in list(self._browsers):
            browser.line.close()

    def find(self, host: bytes) -> Place | None:
        """What a Host field means. Only our own name and port do: a page whose name leads here gets nothing."""
        match = self._host.fullmatch(host.decode("latin-1").lower())
        if match is None or (self._local and match[2] != str(self.port)):
            return None
        return self._keys.get(match[1])

    def _accept(self, stream: Stream) -> None:
        if len(self._browsers) >= MAX_CONNECTIONS:
            log.warning("preview connection refused cause=%r", f"{MAX_CONNECTIONS} are open")
            stream.close()
            return
        spawn(self._serve, Browser(stream, self.find, self._running, self._room, self._leave), name="ide preview")

    def _serve(self, browser: Browser) -> None:
        self._browsers.add(browser)
        try:
            browser.serve()
        finally:
            self._browsers.discard(browser)

    def _room(self, place: Place) -> bool:
        if self._busy[place] >= MAX_EXCHANGES:
            return False
        self._busy[place] += 1
        return True

    def _leave(self, place: Place) -> None:
        self._busy[place] -= 1
        if not self._busy[place]:
            del self._busy[place]
