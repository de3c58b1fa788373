"""The page for everybody: with a screen reader, on a phone, in light and dark, behind a token, when the server dies."""
from __future__ import annotations

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import expect

from hotpath.core.serve.testing import launched
from tests.waiting import free_port

from .conftest import PHONE, command, looking
from .test_live import item_made, people_with
from .test_study import PLOT, STUDY


def fill(view):
    """Every part of the page has something to show, good and bad."""
    view.page.route("**/study/index.json", lambda route: route.fulfill(json=STUDY))
    view.page.route("**/study/mariadb/*.svg", lambda route: route.fulfill(content_type="image/svg+xml", body=PLOT))
    view.page.reload()
    view.run("Lost update", "Pessimistic")
    view.button("Run every policy").click()
    expect(view.page.locator("#compared .stamp").last).to_have_text("Safe")
    ann, ben = people_with(view, item_made(view))
    ann.save("Curry")
    expect(ann.answer).to_have_text("Saved as version 2.")
    ben.save("Pizza")
    expect(ben.answer).to_contain_text("Refused")
    view.page.route("**/increment?policy=naive", lambda route: route.fulfill(json={"value": 1, "attempts": 1}))
    view.page.get_by_role("combobox", name="Policy", exact=True).select_option("naive")
    view.button("Add one").click()
    expect(view.page.locator("#bursts tr")).to_have_count(1)


@pytest.mark.parametrize(("scheme", "size"), [("light", "desk"), ("dark", "phone")])
def test_axe_finds_nothing(browser, address, scheme, size):
    options = {"viewport": PHONE} if size == "phone" else {}
    with looking(browser, address, color_scheme=scheme, **options) as view:
        axe = Axe()

        def check(where):
            found = axe.run(view.page)["violations"]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], where

        expect(view.page.locator("#chooser")).to_be_visible()
        check("at first")
        fill(view)
        check("full")
        for policy in ("Naive", "Optimistic"):
            view.run("Lost update", policy)
            check(policy)
        view.button("Back").click()
        check("in the middle")


def test_a_phone_needs_no_scrolling_sideways(browser, address):
    with looking(browser, address, viewport=PHONE) as view:
        fill(view)
        assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        names = view.shown.locator(".who")
        expect(names.first).to_be_visible()
        view.run("Seat booking", "Optimistic")
        assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        view.button("Start").click()
        view.button("Next").click()
        expect(view.shown).to_be_in_viewport()


def test_colours_are_chosen_and_kept(browser, address):
    with looking(browser, address, color_scheme="light") as view:
        paper = "getComputedStyle(document.body).backgroundColor"
        light = view.page.evaluate(paper)
        view.button("Dark colours").click()
        expect(view.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert view.page.evaluate(paper) != light
        view.page.reload()
        expect(view.button("Light colours")).to_be_visible()


def test_a_keyboard_alone_gets_from_the_choice_to_the_verdict(view):
    expect(view.page.locator("#chooser")).to_be_visible()
    view.page.get_by_role("radio", name="Lost update").focus()
    keys = view.page.keyboard
    keys.press("Tab")
    keys.press("ArrowRight")
    expect(view.page.get_by_role("radio", name="Optimistic")).to_be_checked()
    keys.press("Tab")
    expect(view.button("Run it")).to_be_focused()
    keys.press("Enter")
    expect(view.verdict).to_contain_text("Safe")


def test_a_server_that_asks_for_a_token_gets_it(browser, guarded):
    with looking(browser, guarded) as view:
        door = view.page.get_by_label("Token")
        expect(door).to_be_focused()
        expect(view.page.locator("#trouble")).to_have_text("No scenarios: the server asks for a token.")
        assert Axe().run(view.page)["violations"] == []
        door.fill("wrong")
        view.button("Go on").click()
        expect(door).to_have_value("")
        expect(door).to_be_focused()
        door.fill("s3cret")
        view.button("Go on").click()
        expect(view.page.locator("#chooser")).to_be_visible()
        expect(door).to_be_hidden()
        view.run("Lost update", "Atomic")
        expect(view.verdict).to_contain_text("Safe")


def test_a_server_that_dies_and_comes_back_is_seen_to(browser, tmp_path):
    listen = f"127.0.0.1:{free_port()}"
    with launched(command(tmp_path, listen)) as served, looking(browser, listen) as view:
        expect(view.page.locator("#chooser")).to_be_visible()
        served.kill()
        view.button("Run it").click()
        expect(view.page.locator("#trouble")).to_contain_text("It did not run: the server does not answer")
        view.button("Make an item").click()
        expect(view.page.locator("#items-said")).to_contain_text("It was not made: the server does not answer")
        view.button("Add one").click()
        expect(view.page.locator("#counter-said")).to_contain_text("It did not count: the server does not answer")
        with launched(command(tmp_path, listen)):
            view.run("Lost update", "Atomic")
            expect(view.verdict).to_contain_text("Safe")
            expect(view.page.locator("#trouble")).to_be_hidden()


def test_a_page_whose_server_does_not_answer_yet_asks_again(view):
    view.page.route("**/scenarios", lambda route: route.abort())
    view.page.reload()
    expect(view.page.locator("#trouble")).to_contain_text("Trying again…")
    view.page.unroute("**/scenarios")
    expect(view.page.locator("#chooser")).to_be_visible()
    expect(view.page.locator("#trouble")).to_be_hidden()
