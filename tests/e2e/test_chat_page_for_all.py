"""The page of a chat for everybody: with a keyboard, a screen reader, a phone, in light and dark."""
from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import expect

PHONE = {"width": 390, "height": 780}


@contextmanager
def colours(pair, scheme, **options):
    context = pair.context(pair.ann, color_scheme=scheme, **options)
    yield pair.view(pair.ann, context)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(pair, scheme):
    axe = Axe()

    def check(view, where):
        found = axe.run(view.page)["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], where

    message = pair.say(pair.ben, f"@{pair.ann.name} `look` at https://a.example")
    pair.say(pair.ann, "a reply", root=message["id"])
    pair.ben.ask("PUT", f"/api/messages/{message['id']}/reactions/%F0%9F%91%8D")
    with colours(pair, scheme) as ann:
        expect(ann.row("look")).to_be_visible()
        check(ann, "the conversation")
        ann.row("look").hover()
        check(ann, "the toolbar")
        ann.row("look").get_by_role("button", name="1 reply").click()
        expect(ann.page.get_by_role("complementary", name="Thread").get_by_text("a reply")).to_be_visible()
        check(ann, "the thread")
        ann.button("Members").click()
        expect(ann.page.get_by_role("complementary", name="Members").get_by_text(pair.ben.name)).to_be_visible()
        check(ann, "the members")
        ann.button("Search").click()
        ann.page.get_by_label("Search for").fill("look")
        expect(ann.page.locator(".hit")).to_have_count(1)
        check(ann, "the search")
        ann.page.keyboard.press("Escape")
        for name in ("New channel", "Browse channels", "New conversation", "Channel settings"):
            ann.button(name).click()
            expect(ann.page.get_by_role("dialog")).to_be_visible()
            check(ann, name)
            ann.page.keyboard.press("Escape")
            expect(ann.page.get_by_role("dialog")).to_have_count(0)
        ann.page.keyboard.press("Control+k")
        expect(ann.page.get_by_role("dialog")).to_be_visible()
        check(ann, "the switcher")
        ann.page.keyboard.press("Escape")
        ann.page.context.set_offline(True)
        ann.expect_connection("offline")
        ann.say("later")
        expect(ann.log.locator("[data-state=pending]")).to_have_count(1)
        check(ann, "offline")
        ann.page.context.set_offline(False)
        ann.expect_connection("live")
        ann.page.context.clear_cookies()
        ann.page.goto(pair.home.url)
        expect(ann.page.get_by_label("Password")).to_be_visible()
        check(ann, "the login")


def test_a_phone_shows_the_list_then_the_channel(pair):
    context = pair.context(pair.ann, viewport=PHONE)
    ann = pair.view(pair.ann, context, path="/")
    expect(ann.link(pair.name)).to_be_visible()
    expect(ann.log).to_be_hidden()
    ann.link(pair.name).click()
    expect(ann.log).to_be_visible()
    expect(ann.link(pair.name)).to_be_hidden()
    ann.box.fill("from a phone")
    ann.button("Send").click()
    expect(ann.sent("from a phone")).to_be_in_viewport()
    assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ann.page.get_by_role("link", name="All channels").click()
    expect(ann.link(pair.name)).to_be_visible()
    ann.page.go_back()
    expect(ann.sent("from a phone")).to_be_visible()


def test_keys_reach_rows_and_what_one_does_with_them(both, pair):
    ann, _ = both
    pair.say(pair.ann, "first row")
    pair.say(pair.ann, "second row")
    expect(ann.sent("second row")).to_be_visible()
    ann.log.focus()
    ann.page.keyboard.press("ArrowUp")
    expect(ann.row("second row")).to_be_focused()
    ann.page.keyboard.press("ArrowUp")
    expect(ann.row("first row")).to_be_focused()
    for name in ("React", "Reply in thread", "Copy link", "Edit"):
        expect(ann.row("first row").get_by_role("button", name=name, exact=True)).to_be_visible()
    ann.page.keyboard.press("Tab")
    expect(ann.row("first row").get_by_role("button", name="React", exact=True)).to_be_focused()


def test_what_others_say_is_announced_once(both):
    ann, ben = both
    ben.say("hear ye")
    expect(ann.page.locator("#announcer")).to_have_text(re.compile("hear ye$"))


def test_colours_are_chosen_and_kept(pair):
    with colours(pair, "light") as ann:
        ann.button("Dark colours").click()
        expect(ann.page.locator("html")).to_have_attribute("data-theme", "dark")
        ann.page.reload()
        expect(ann.button("Light colours")).to_be_visible()
