"""Chromium without a screen, and pages for it to open."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

FLAGS = [
    "--no-sandbox",                     # continuous integration runs as root
    "--disable-gpu", "--no-first-run",
    # It asks the network for nothing of its own.
    "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]

# Set before any script of the page; the developer's side door, to which no policy applies.
LISTEN_FOR_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI, sourceFile, lineNumber}) =>
  window.violations.push(`${violatedDirective} ${blockedURI} ${sourceFile}:${lineNumber}`));
"""


class Complaints:
    """What a page says to the developer, and what its policy forbade it: a page of ours gives no reason for either."""

    def __init__(self, page: Page, forgiven: re.Pattern[str]) -> None:
        """`forgiven`: what Chromium itself says of what a test does to the page."""
        self._page, self._forgiven = page, forgiven
        self.said: list[str] = []
        page.add_init_script(LISTEN_FOR_VIOLATIONS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not self._forgiven.search(message.text):
            self.said.append(message.text)

    def violations(self) -> list[str]:
        """Of the policy, since the page was last loaded."""
        found: list[str] = self._page.evaluate("window.violations")
        return found

    def check(self) -> None:
        """There are none."""
        assert (self.said, self.violations()) == ([], [])


class Traffic:
    """What a page asked for and did not get, for the message of a test that waits in vain."""

    def __init__(self, page: Page) -> None:
        self._since_s: dict[Request, float] = {}
        self._failed: list[str] = []
        page.on("request", lambda request: self._since_s.setdefault(request, time.monotonic()))
        page.on("requestfinished", lambda request: self._since_s.pop(request, None))
        page.on("requestfailed", self._fail)

    def _fail(self, request: Request) -> None:
        self._since_s.pop(request, None)
        self._failed.append(f"{request.method} {request.url}: {request.failure}")

    def __str__(self) -> str:
        now_s = time.monotonic()
        waiting = [f"{one.method} {one.url}: for {now_s - since_s:.1f} s" for one, since_s in self._since_s.items()]
        return f"not answered: {waiting}; failed: {self._failed}"


# The tests beside us start containers. Each changes the machine's network, and Chromium then drops all requests under
# way: what a page does about that has tests of its own. It learns of changes by netlink, if it has such a socket.
DEAF = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol) {
    if (domain == AF_NETLINK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return ((int (*)(int, int, int))dlsym(RTLD_NEXT, "socket"))(domain, type, protocol);
}
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: install Debian's package chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        library = f"{folder}/deaf.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, "-x", "c", "-", "-ldl"],
                       input=DEAF, text=True, check=True)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS,
                                             env=os.environ | {"LD_PRELOAD": library})
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving_page(html: str) -> Iterator[str]:
    """The origin of a server of that page, whatever the path."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
