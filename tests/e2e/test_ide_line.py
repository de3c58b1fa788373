"""The ide's terminal while its line is broken: no key is taken that one cannot see, and that is said."""
from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.ide.paths import public_folder
from tests.ide.servers import serving, written
from tests.waiting import wait_for

from .ideing import Desk

TEMPLATES = {"bare": {"title": "Bare", "image": "none", "run": "true", "files": {"a.txt": "one\n"}}}


# What the page waits for a pong: a machine that stalls for so long makes a slow line a lost one. And for a START.
PATIENT = "const wait = setTimeout; setTimeout = (act, ms, ...all) => wait(act, ms === 10_000 ? 300_000 : ms, ...all);"


class Cable:
    """Between the page's terminals and the server: it can be cut, or be dead while both ends believe in it."""

    def __init__(self, page):
        self.is_cut = self.is_dead = False
        self.ends = []
        page.route_web_socket(re.compile(r"/terminals/\w+/socket"), self._lay)

    def _lay(self, route):
        if self.is_cut:
            route.close()
            return
        server = route.connect_to_server()
        self.ends.append(route)
        route.on_message(lambda message: self.is_dead or server.send(message))
        server.on_message(lambda message: self.is_dead or route.send(message))

    def cut(self):
        self.is_cut = True
        for end in self.ends:
            end.close()
        self.ends.clear()

    def mend(self, page):
        self.is_cut = self.is_dead = False
        page.evaluate("dispatchEvent(new Event('online'))")


@pytest.fixture(scope="module")
def ide():
    with public_folder() as folder, serving(written(folder, templates=TEMPLATES)) as ide:
        yield ide


@pytest.fixture
def desk(ide, browser, request):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(PATIENT)
    desk = Desk(ide, context.new_page())
    desk.cable = Cable(desk.page)
    desk.open(ide.create(request.node.name[:80], "bare"))
    desk.shell("echo be''fore")
    desk.shows("shell", "before")
    yield desk
    desk.finish()
    context.close()


def away(desk):
    """What the terminal says of its line."""
    return desk.page.get_by_role("region", name="Terminal").get_by_role("status")


def test_keys_at_a_cut_line_do_nothing_and_the_terminal_says_so(desk):
    receipts = "[...ide.page.terminals.all.values()].every(({view: {line}}) => line.taken === line.typed)"
    wait_for(lambda: desk.page.evaluate(receipts), "the receipt of the last key")
    desk.cable.cut()
    expect(away(desk)).to_have_text("Reconnecting. Typing is off until the terminal is back.")
    desk.page.keyboard.type("touch blind\n")
    desk.cable.mend(desk.page)
    expect(away(desk)).to_have_count(0)
    desk.shell("echo af''ter")
    desk.shows("shell", "after")
    assert "blind" not in desk.terminal("shell")
    assert desk.ide.ask("GET", f"/api/projects/{desk.id}/file?path=blind").status == 404
    expect(desk.page.get_by_text("look whether it has arrived")).to_have_count(0)


def test_a_dead_line_is_noticed_by_the_keys_that_nobody_answers(desk):
    desk.cable.is_dead = True
    desk.page.keyboard.type("touch lo")
    expect(away(desk)).to_have_text("The server does not answer. Typing is off until it does.")
    desk.page.keyboard.type("st\n")
    desk.cable.cut()
    desk.cable.mend(desk.page)
    expect(desk.page.get_by_text("look whether it has arrived")).to_be_visible()
    expect(away(desk)).to_have_count(0)
    desk.shell("echo af''ter")
    desk.shows("shell", "after")
    assert "touch" not in desk.terminal("shell")


def test_a_line_that_was_only_slow_goes_on(desk):
    desk.cable.is_dead = True
    desk.page.keyboard.type("x")
    expect(away(desk)).to_contain_text("does not answer")
    desk.cable.is_dead = False
    desk.page.evaluate("dispatchEvent(new Event('online'))")        # it asks, and is answered
    expect(away(desk)).to_have_count(0)
    desk.shell("echo af''ter")
    desk.shows("shell", "after")
