"""The access log: lines are gathered here, and written by a thread, so that a full pipe holds nobody up."""
from __future__ import annotations

import json
import logging
import os
import threading
import time

from hotpath.core.serve.config import AccessLog

log = logging.getLogger(__name__)

# Bytes kept while the file takes none: beyond it lines are dropped, and counted.
MAX_KEPT = 1024 * 1024

TIME, JSON_TIME = "%d/%b/%Y:%H:%M:%S +0000", "%Y-%m-%dT%H:%M:%SZ"


class AccessWriter:
    """Writes one line per request, as the configuration says."""

    def __init__(self, config: AccessLog) -> None:
        """Open the file. Raises OSError."""
        self._config = config
        self._is_json = config.format == "json"
        self._lines: list[bytes] = []
        self._n_bytes = 0
        self._now_s, self._now = 0, ""      # of the last line: there may be thousands in a second
        self.dropped = 0
        self._wake = threading.Event()
        self._stopping = False
        self._fd = 1 if config.path == "-" else _open(config.path)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(
        self, *, address: str, method: str, target: str, version: str, status: int, n_bytes: int, took_s: float,
        referer: str, agent: str
    ) -> None:
        """A line. All text is the client's: nothing of it may end a line."""
        now_s = int(time.time())
        if now_s != self._now_s:
            self._now_s, self._now = now_s, time.strftime(JSON_TIME if self._is_json else TIME, time.gmtime(now_s))
        if self._is_json:
            line = json.dumps({
                "time": self._now, "remote": address, "method": method, "target": target, "status": status,
                "bytes": n_bytes, "seconds": round(took_s, 6), "referer": referer, "agent": agent})
        else:
            line = (f'{address or "-"} - - [{self._now}] '
                    f'"{_safe(method)} {_safe(target)} HTTP/{_safe(version)}" {status} {n_bytes} '
                    f'"{_safe(referer) or "-"}" "{_safe(agent) or "-"}" {took_s:.6f}')
        data = line.encode(errors="replace") + b"\n"
        if self._n_bytes + len(data) > MAX_KEPT:
            self.dropped += 1
            return
        self._lines.append(data)
        self._n_bytes += len(data)
        if self._n_bytes >= self._config.buffer:
            self._wake.set()

    def reopen(self) -> None:
        """Go on in a new file of the same name. Raises OSError: the old one stays."""
        if self._config.path != "-":
            fd = _open(self._config.path)
            os.dup2(fd, self._fd, inheritable=False)    # the same number: the thread may be about to write to it
            os.close(fd)

    def stop(self) -> None:
        """Write what is left."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._config.flush or None)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        data = b"".join(lines)
        self._n_bytes -= len(data)
        try:
            while data:
                data = data[os.write(self._fd, data):]
        except OSError as error:
            self.dropped += data.count(b"\n")
            log.warning("access log not written cause=%s", error.strerror)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _safe(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        letter if " " <= letter < "\x7f" and letter not in '"\\' else f"\\x{ord(letter):02x}" for letter in text)
