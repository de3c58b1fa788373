"""All six pages through one door, while the proxy is reloaded and its workers are killed: each does its work."""
from __future__ import annotations

import json
import os
import re
import signal
import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from playwright.sync_api import Error, expect

from tests.browser import Complaints
from tests.clients import CutShort
from tests.hotpath.houses import JSON, house_up
from tests.ide.paths import public_folder
from tests.locking.page.conftest import View as LockingView

from .chatting import View as ChatView
from .chatting import some_name
from .crdting import View as CrdtView
from .ideing import Desk

# A whole house, and a browser, on a machine that others use too.
pytestmark = pytest.mark.timeout(400)
PATIENCE_MS = 60_000
SOON_MS = 10_000                # of somebody who would try once more
PATHS = {"proxy": "/", "chat": "/chat/", "ide": "/ide/", "crdt": "/crdt/", "shard": "/shard/", "locking": "/locking/"}
# What Chromium itself says of lines that break under it.
OF_THE_NETWORK = re.compile(r"net::ERR_|status of (401|404|409|412|422|502|503)|WebSocket connection to")

MAKE_CHANNEL = """async (channel) => (await fetch("/chat/api/channels", {method: "POST", headers: {"Content-Type":
  "application/json"}, body: JSON.stringify(channel)})).json()"""

WHO_AM_I = "async () => (await (await fetch('/chat/api/me')).json()).user.id"


@pytest.fixture(scope="module")
def house():
    with public_folder() as folder, house_up(folder) as house:
        yield house


class Trouble:
    """The proxy is reloaded, and loses a worker, again and again."""

    def __init__(self, house):
        self.house = house
        self.master = house.pid_of("proxy")
        self.stop = threading.Event()
        self.n_kills = 0
        self.rest_s = 0.7
        self.thread = threading.Thread(target=self.make)

    def make(self):
        while not self.stop.wait(self.rest_s):
            os.kill(self.master, signal.SIGHUP)
            if self.stop.wait(self.rest_s):
                break
            self.kill()

    def relent(self):
        """Who tries again has twice the time for it: on a slow machine a line was broken before it was typed."""
        self.rest_s = min(2 * self.rest_s, 6.0)         # and the trouble does not end

    def kill(self):
        """Whatever it was doing for somebody is lost. (That a reload loses nothing is shown in tests/faults.)"""
        of_the_proxy = [pid for pid, line in self.house.processes().items() if "hotpath.proxy" in line]
        for pid in [pid for pid in of_the_proxy if pid != self.master][:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.n_kills += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert self.house.pid_of("proxy") == self.master


class Person:
    """Who sits at the page, and does again what a broken line swallowed: the page says so, or stays empty."""

    def __init__(self, tries, failed=lambda: None):
        self.tries, self.failed = tries, failed

    def does(self, page, act):
        """What `act` answers."""
        for left in reversed(range(self.tries)):
            patience(page, SOON_MS if left else PATIENCE_MS)
            try:
                return act()
            except (AssertionError, CutShort, Error):
                if not left:
                    raise
                self.failed()
            finally:
                patience(page, PATIENCE_MS)


def patience(page, ms):
    page.set_default_timeout(ms)
    expect.set_options(timeout=ms)


@pytest.fixture
def context(browser):
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


@contextmanager
def seen(context, house, made):
    """A page of the house; it asks nobody but the door, breaks no policy, and does not complain."""
    page = context.new_page()
    view, asked, failed = made(page), [], []
    page.set_default_timeout(PATIENCE_MS)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("response", lambda response: failed.append((response.status, response.url))
            if response.status in (404, 405, 421) else None)
    yield view
    ours = (f"http://{house.address}/", f"ws://{house.address}/", "data:", "blob:")
    assert [url for url in asked if not url.startswith(ours)] == []
    assert [line for line in view.complaints.said if not OF_THE_NETWORK.search(line)] == []
    assert view.complaints.violations() == []
    assert failed == []
    view.asked_urls = asked


class Plain:
    """A page that is only looked at."""

    def __init__(self, page):
        self.page = page
        self.complaints = Complaints(page, OF_THE_NETWORK)


# ---- what a person does on each page

def chats(context, house, person):
    """Two people in a new channel: what one says stands in the other's log, once, and nobody has to say it again."""
    def arrives(view, name):
        view.page.goto(f"{house.url}/chat/")
        form, status = view.button("Create account"), view.page.get_by_role("status")
        expect(form.or_(status).first).to_be_visible()
        if form.is_visible():
            view.sign_up(name)

    def makes_channel(me):
        channel = ann.page.evaluate(MAKE_CHANNEL, {"name": some_name("c"), "kind": "public", "members": [me]})
        assert "id" in channel, channel
        return channel["id"]

    def opens(view, channel):
        view.page.goto(f"{house.url}/chat/c/{channel}")
        view.expect_connection("live")

    with seen(context, house, lambda page: ChatView(house, page)) as ann:
        person.does(ann.page, partial(arrives, ann, some_name()))
        other = context.browser.new_context()
        with seen(other, house, lambda page: ChatView(house, page)) as ben:
            person.does(ben.page, partial(arrives, ben, some_name()))
            me = person.does(ben.page, lambda: ben.page.evaluate(WHO_AM_I))
            channel = person.does(ann.page, partial(makes_channel, me))
            for view in (ann, ben):
                person.does(view.page, partial(opens, view, channel))
            for n in range(5):
                ann.say(f"word {n}")
                expect(ben.row(f"word {n}")).to_have_count(1)
                ben.say(f"answer {n}")
                expect(ann.row(f"answer {n}")).to_have_count(1)
            for view in (ann, ben):
                person.does(view.page, partial(opens, view, channel))
                expect(view.sent("answer 4")).to_have_count(1)
                assert view.page.url.startswith(f"{house.url}/chat/c/{channel}")
        assert any(url.startswith(f"ws://{house.address}/chat/gateways/") for url in ben.asked_urls)
        other.close()


def programs(context, house, person):
    """A project, a file, a terminal: what the shell answers is shown.

    What is typed while the line breaks is gone, as in any other terminal.
    """
    with seen(context, house, lambda page: Desk(house.ide, page)) as desk:
        def reads():
            desk.item("main.py").click()
            expect(desk.editor("main.py")).to_be_visible()

        def is_kept():
            assert desk.on_disk("main.py") == b"print(6 * 7)\n"

        def asks_the_shell(n):
            desk.page.keyboard.press("Control+c")       # what came of the last try
            desk.shell(f"echo said-$((40 + {n}))", SOON_MS / 1000)
            desk.shows("shell", f"said-{40 + n}", SOON_MS / 1000)

        person.does(desk.page, desk.home)
        project = person.does(desk.page, lambda: house.ide.create(some_name("project"), "python"))
        person.does(desk.page, lambda: desk.open(project))
        person.does(desk.page, reads)
        desk.write("main.py", "print(6 * 7)\n")
        desk.saved()
        person.does(desk.page, is_kept)
        for n in range(3):
            person.does(desk.page, partial(asks_the_shell, n))
    assert any(url.startswith(f"ws://{house.address}/ide/") for url in desk.asked_urls)


def converges(context, house, person):
    """Cut apart, edited on both sides, healed: all three agree."""
    key = some_name("k")
    with seen(context, house, CrdtView) as view:
        def arrives():
            view.page.goto(f"{house.url}/crdt/")
            view.expect_verdict("All three agree.")

        def heals():
            view.button("Heal all").click()
            view.expect_everywhere(key, "two")
            view.expect_verdict("All three agree.")

        person.does(view.page, arrives)
        view.button("Cut all").click()
        person.does(view.page, lambda: view.add(key, "one", "a"))
        person.does(view.page, lambda: view.add(key, "two", "b"))
        person.does(view.page, heals)


def grows(context, house, person):
    """A shard comes, and goes."""
    name = some_name("n")
    with seen(context, house, Plain) as view:
        page = view.page
        verdict = page.locator("#verdict")

        def arrives():
            page.goto(f"{house.url}/shard/")
            expect(verdict).to_have_text("Stable: 3 shards, all up.")

        def adds():
            if page.locator("#add").is_visible():
                page.get_by_label("Name").fill(name)
                page.get_by_role("button", name="Add", exact=True).click()
            expect(verdict).to_have_text("Stable: 4 shards, all up.")

        def removes():
            button = page.get_by_role("button", name=f"Remove {name}")
            if button.is_visible() and button.is_enabled():
                button.click()
                page.locator("#sure-yes").click()
            expect(page.locator("#move-title")).to_have_text(f"Removing {name}")

        for act in (arrives, adds, removes):
            person.does(page, act)
        expect(verdict).to_have_text("Stable: 3 shards, all up.")


def loses_an_update(context, house, person):
    """A scenario is played on the real database."""
    with seen(context, house, LockingView) as view:
        person.does(view.page, lambda: view.page.goto(f"{house.url}/locking/"))
        person.does(view.page, lambda: view.run("Lost update", "Naive"))
        expect(view.verdict).to_contain_text("went missing")
        person.does(view.page, lambda: view.run("Lost update", "Pessimistic"))
        expect(view.verdict).to_contain_text("Safe")


DEEDS = {"chat": chats, "ide": programs, "crdt": converges, "shard": grows, "locking": loses_an_update}


def tells(context, house):
    """The landing page knows all six, and leads into each."""
    with seen(context, house, Plain) as view:
        view.page.goto(f"{house.url}/")
        for part in house.got("/status.json")["parts"]:
            expect(view.page.get_by_role("heading", name=part["title"])).to_be_visible()
        for name, path in PATHS.items():
            if name != "proxy":
                assert view.page.locator(f'a[href$="{name}/"]').count() >= 1, path


def test_the_landing_page_leads_into_each(context, house):
    tells(context, house)


@pytest.mark.parametrize("name", DEEDS)
def test_each_page_does_its_work_behind_its_prefix(context, house, name):
    DEEDS[name](context, house, Person(tries=1))


@pytest.mark.parametrize("name", DEEDS)
def test_each_page_does_its_work_while_the_proxy_is_reloaded_and_its_workers_are_killed(context, house, name):
    with Trouble(house) as trouble:
        person = Person(tries=5, failed=trouble.relent)
        DEEDS[name](context, house, person)
        while trouble.n_kills < 2:      # it was too quick for that
            DEEDS[name](context, house, person)


def test_no_part_is_sent_the_cookies_of_another(context, house):
    """Each system's cookie stays below its path, in a browser that is signed in everywhere."""
    page = context.new_page()
    page.goto(f"{house.url}/")
    name = some_name()
    statuses = page.evaluate(
        """async ([name, token]) => {
          const post = async (path, body) => (await fetch(path, {method: "POST", headers: {"Content-Type":
            "application/json"}, body: JSON.stringify(body)})).status;
          return [await post("/chat/api/users", {name, password: "correct horse"}),
            await post("/chat/api/login", {name, password: "correct horse"}),
            await post("/ide/api/session", {token})];
        }""", [name, house.ide.token])
    assert statuses == [201, 200, 204]
    sent = {path: {each["name"] for each in context.cookies(house.url + path)} for path in PATHS.values()}
    assert sent == {"/": set(), "/chat/": {"hp_session"}, "/ide/": {"hotpath_ide"}, "/crdt/": set(),
                    "/shard/": set(), "/locking/": set()}
    assert all(each["httpOnly"] for each in context.cookies())
    # And both sessions stand: none has overwritten the other.
    assert page.evaluate("async () => (await fetch('/chat/api/me')).status") == 200
    assert page.evaluate("async () => (await fetch('/ide/api/session')).status") == 200
    assert json.loads(house.ide.raw("POST", "/api/session", JSON, json.dumps({"token": "x"}).encode()).body)
