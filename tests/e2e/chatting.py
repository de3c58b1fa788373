"""Browsers at a running chat: a page as one person sees it, two people and a channel of theirs."""
from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.browser import Complaints
from tests.chat.client import PASSWORD
from tests.chat.house import GIVEN_UP_S, House, kept
from tests.chat.someone import Someone
from tests.waiting import Process

PATIENCE_MS = 60_000

# What Chromium itself says of lines that break and answers that do not come, where a test breaks them.
OF_THE_NETWORK = re.compile(r"WebSocket connection to|net::ERR_|status of (403|404|422|503)")


class RealHouse(House):
    """The command as people start it, with nothing of ours before or inside it."""

    def start(self) -> None:
        path = self.folder / "chat.yaml"
        path.write_text(json.dumps(self.config))
        command = [sys.executable, "-P", "-m", "hotpath.chat", "up", "--config", str(path)]
        self.process = Process(command, {**os.environ})
        self.process.wait_for_output(r"^ready: pid \d+", within_s=GIVEN_UP_S)


@contextmanager
def real_house(folder: Path, config: Mapping[str, Any] | None = None) -> Iterator[RealHouse]:
    """A running one, while the block runs."""
    with kept(RealHouse(folder, config or {})) as home:
        yield home


class View:
    """The page as one person sees it."""

    def __init__(self, home, page):
        self.home, self.page = home, page
        self.complaints, self.asked = Complaints(page, OF_THE_NETWORK), set()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.asked.add(request.url))
        page.on("websocket", lambda socket: self.asked.add(socket.url))

    @property
    def log(self):
        return self.page.get_by_role("log")

    @property
    def box(self):
        return self.page.get_by_label(re.compile("^Message"))

    def row(self, text):
        return self.log.locator(".row").filter(has_text=text)

    def sent(self, text):
        return self.log.locator("[data-seq]:not([data-state])").filter(has_text=text)

    def link(self, name):
        return self.page.get_by_role("navigation", name="Channels").get_by_role("link", name=name)

    def badge(self, name):
        return self.link(name).locator("[data-unread]")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def say(self, text):
        self.box.fill(text)
        self.box.press("Enter")

    def act(self, text, name):
        self.page.bring_to_front()          # a tab behind another draws no frames, and takes seconds to be pointed at
        self.row(text).hover()
        self.row(text).get_by_role("button", name=name, exact=True).click()

    def open(self, name):
        self.link(name).click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text(name)

    def expect_connection(self, state):
        expect(self.page.get_by_role("status")).to_have_attribute("data-connection", state)

    def watch_connection(self):
        """From now on `window.states` of the page has each state that its connection had."""
        self.page.evaluate("""() => {
            window.states = [];
            const banner = document.querySelector("[data-connection]");
            const watch = new MutationObserver(() => window.states.push(banner.dataset.connection));
            watch.observe(banner, {attributes: true});
        }""")

    def enter(self, name, button):
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.button(button).click()

    def log_in(self, name, button="Log in"):
        self.enter(name, button)
        self.expect_connection("live")

    def sign_up(self, name):
        """Where lines are cut, a browser asks again what was not answered, and is told that its own name is taken."""
        self.enter(name, "Create account")
        taken = self.page.get_by_role("alert").filter(has_text="This name is taken")
        expect(self.page.get_by_role("status").or_(taken)).to_be_visible()
        if taken.is_visible():
            self.button("Log in").click()
        self.expect_connection("live")

    @property
    def line(self):
        """The gateway it was at first."""
        return next(line_of(url) for url in self.asked if url.startswith("ws"))


def line_of(url):
    """Without its ticket."""
    return url.partition("?")[0]


def some_name(kind="p"):
    """Nobody else's."""
    return kind + uuid.uuid4().hex[:9]


class Pair:
    """Ann and Ben and a channel of theirs."""

    def __init__(self, home, browser):
        self.home, self.browser = home, browser
        self.contexts = []
        self.views = []
        self.ann, self.ben = (Someone(home.url, some_name()) for _ in range(2))
        self.name = some_name("c")
        self.channel = self.make(self.name)

    def make(self, name, kind="public"):
        answer = self.ann.ask("POST", "/api/channels", {"name": name, "kind": kind, "members": [self.ben.id]})
        assert answer.status == 201, answer.body
        return answer.json["id"]

    def context(self, someone, **options):
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        context.add_cookies([{"name": "hp_session", "value": someone.token, "url": self.home.url}])
        return context

    def view(self, someone, context=None, *, path=None, before=lambda page: None):
        page = (context or self.context(someone)).new_page()
        view = View(self.home, page)
        before(page)
        page.goto(self.home.url + (path or f"/c/{self.channel}"))
        view.expect_connection("live")
        self.views.append(view)
        return view

    def elsewhere(self, context, line):
        """Pages of this context go to another gateway than that of `line`, at first."""
        taken = next(row["id"] for row in self.home.run["gateways"] if row["url"] == line)
        body = json.dumps({"exclude": [taken]})
        context.route("**/api/connect", lambda route: route.continue_(post_data=body), times=1)

    def say(self, someone, text, **more):
        answer = someone.ask("POST", f"/api/channels/{self.channel}/messages",
                             {"client_msg_id": uuid.uuid4().hex, "text": text, **more})
        assert answer.status == 201, answer.body
        return answer.json

    def messages(self):
        return self.ann.ask("GET", f"/api/channels/{self.channel}/messages?limit=200").json["messages"]

    def texts(self):
        return [each["text"] for each in self.messages()]

    def close(self):
        """No page complained, or asked anybody else than the chat."""
        allowed = (self.home.url, *(row["url"].removesuffix("/ws") for row in self.home.run["gateways"]))
        for view in self.views:
            view.complaints.check()
            assert [url for url in view.asked if not url.startswith(allowed)] == []
        for context in self.contexts:
            context.close()
