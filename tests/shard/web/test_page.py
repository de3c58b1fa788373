"""The page in a browser: it shows what the router says, hands on what is clicked, and anybody can use it."""
from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.shard.web.standin import StandIn, standing_in

VERDICT = "#verdict"
PATIENCE_MS = 60_000            # a shared machine stalls for seconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as browser:
        yield browser


@contextmanager
def looking(browser: Browser, address: str) -> Iterator[Page]:
    """The page at `address`; it must not complain."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            and "net::ERR" not in message.text else None)
    try:
        page.goto(f"http://{address}/")
        yield page
        assert complaints == []
    finally:
        page.close()


def begin(node: StandIn) -> None:
    node.begin("add", "s3")


def hold(node: StandIn) -> None:
    begin(node)
    node.reshard.update(state="verified", hold=True, eta_s=None)


@pytest.fixture
def stable():
    with standing_in() as served:
        yield served


@pytest.fixture
def moving():
    with standing_in(prepare=begin) as served:
        yield served


def test_a_stable_cluster_is_shown(browser, stable):
    with looking(browser, stable.address) as page:
        expect(page.locator(VERDICT)).to_have_text("Stable: 3 shards, all up.")
        expect(page.locator("#said")).to_have_text("Stable: 3 shards, all up.")
        expect(page.locator("#shards > li")).to_have_count(3)
        expect(page.locator("#shards > li").first).to_contain_text("22\u202f487, 34.3\u00a0%")
        expect(page.locator("#ring path[data-ring=owners]")).to_have_count(3)
        expect(page.locator("#move")).to_be_hidden()
        expect(page.locator("#routers li")).to_have_count(1)
        expect(page.locator("main")).to_have_attribute("aria-busy", "false")
        assert page.title() == "blog: stable"


def test_a_move_is_shown_and_steered(browser, moving):
    with looking(browser, moving.address) as page:
        expect(page.locator(VERDICT)).to_have_text("Adding s3: copying, 43.0\u00a0%, about 5 s left.")
        expect(page.locator("#progress")).to_have_attribute("aria-valuenow", "43")
        expect(page.locator("#steps [aria-current=step]")).to_have_text("copying")
        expect(page.locator("#moves tr")).to_have_count(3)
        expect(page.locator("#ring path[data-ring=sources]")).to_have_count(3)
        expect(page.locator("#figures")).to_contain_text("4\u202f200 of 10\u202f000")
        for name in ("resume", "complete"):
            expect(page.locator(f"#{name}")).to_be_hidden()
        expect(page.get_by_role("button", name="Remove s0")).to_be_disabled()
        expect(page.locator("#add")).to_be_hidden()

        page.get_by_role("button", name="Pause").click()
        expect(page.locator(VERDICT)).to_have_text("Adding s3: paused while copying.")
        expect(page.locator("#said")).to_contain_text("paused")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#pause")).to_be_visible()

        page.get_by_label("At most").fill("750")
        page.get_by_role("button", name="Throttle").click()
        expect(page.locator("#figures")).to_contain_text("750 rows/s")

        page.get_by_role("button", name="Cancel the move").click()
        page.get_by_role("button", name="Leave it").click()
        expect(page.locator("#steps [aria-current=step]")).to_have_text("copying")
        page.get_by_role("button", name="Cancel the move").click()
        page.locator("#sure-yes").click()
        expect(page.locator("#steps [aria-current=step]")).to_have_text("cancelling")


def test_a_held_move_is_completed_by_a_button(browser):
    with standing_in(prepare=hold) as served, looking(browser, served.address) as page:
        expect(page.locator(VERDICT)).to_contain_text("held until you complete or cancel it")
        page.get_by_role("button", name="Complete").click()
        expect(page.locator("#steps [aria-current=step]")).to_have_text("completing")
        expect(page.locator("#cancel")).to_be_hidden()


def test_a_shard_is_added_by_the_form_and_a_refusal_is_said(browser, stable):
    with looking(browser, stable.address) as page:
        page.get_by_label("Name").fill("s0")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("alert").filter(visible=True)).to_have_text("s0 is a shard already.")
        page.get_by_label("Name").fill("s3")
        page.get_by_label("Weight").fill("2000")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("#problem")).to_contain_text("weight 2000 is not allowed")
        page.get_by_label("Weight").fill("2.5")
        page.get_by_label("Rows per second").fill("99")
        page.get_by_label("Hold before completion").check()
        page.get_by_label("Name").press("Enter")
        expect(page.locator("#move-title")).to_have_text("Adding s3")
        expect(page.locator("#figures")).to_contain_text("99 rows/s")
        expect(page.locator("#problem")).to_be_hidden()


def test_a_shard_is_removed_once_one_is_sure(browser, stable):
    with looking(browser, stable.address) as page:
        page.get_by_role("button", name="Remove s1").click()
        expect(page.locator("#sure")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#sure")).to_be_hidden()
        expect(page.locator("#move")).to_be_hidden()
        page.get_by_role("button", name="Remove s1").click()
        page.locator("#sure-yes").click()
        expect(page.locator("#move-title")).to_have_text("Removing s1")


def test_an_error_of_the_move_is_said(browser):
    def fail(node: StandIn) -> None:
        begin(node)
        node.reshard.update(error="s3: no space left on device <b>", paused=True)

    with standing_in(prepare=fail) as served, looking(browser, served.address) as page:
        expect(page.locator("#move-error")).to_have_text("s3: no space left on device <b>")
        expect(page.locator(VERDICT)).to_have_text("Adding s3: stopped with an error.")
        expect(page.locator("#resume")).to_be_visible()


def test_a_shard_that_is_down_is_said(browser):
    def fail(node: StandIn) -> None:
        told = node.status

        def status():
            document = told()
            document["shards"][1].update(up=False, rows={})
            return document

        node.status = status

    with standing_in(prepare=fail) as served, looking(browser, served.address) as page:
        expect(page.locator(VERDICT)).to_have_text("s1 does not answer.")
        expect(page.locator("#shards > li").nth(1)).to_contain_text("down")


def test_a_cluster_that_cannot_be_told_is_said(browser):
    def fail(node: StandIn) -> None:
        node.is_down = True

    with standing_in(prepare=fail) as served, looking(browser, served.address) as page:
        expect(page.locator(VERDICT)).to_have_text("The router cannot tell: meta: cannot be reached.")


def test_a_token_is_asked_for_and_kept_for_the_tab(browser):
    with standing_in(token="s3cret") as served, looking(browser, served.address) as page:
        expect(page.locator("#door")).to_be_visible()
        expect(page.locator("#token")).to_be_focused()
        expect(page.locator("#shards-card")).to_be_hidden()
        page.locator("#token").fill("wrong")
        page.get_by_role("button", name="Show the cluster").click()
        expect(page.locator("#door-note")).to_contain_text("the token is missing or wrong")
        page.locator("#token").fill("s3cret")
        page.locator("#token").press("Enter")
        expect(page.locator(VERDICT)).to_have_text("Stable: 3 shards, all up.")
        expect(page.locator("#ring path")).to_have_count(3)
        expect(page.locator("#door")).to_be_hidden()
        page.reload()
        expect(page.locator(VERDICT)).to_have_text("Stable: 3 shards, all up.")


def test_a_lost_connection_is_said_and_found_again(browser, stable):
    with looking(browser, stable.address) as page:
        expect(page.locator(VERDICT)).to_contain_text("Stable")
        page.evaluate("""() => {
            const real = window.fetch;
            window.isCut = true;
            window.fetch = (...given) => window.isCut ? Promise.reject(new TypeError()) : real(...given);
        }""")
        page.get_by_role("button", name="Remove s1").click()
        page.locator("#sure-yes").click()
        expect(page.locator("#problem")).to_have_text("The router does not answer.")
        page.evaluate("() => { window.isCut = false; }")


def test_when_the_router_ends_the_page_says_so(browser):
    with standing_in() as served, looking(browser, served.address) as page:
        expect(page.locator(VERDICT)).to_contain_text("Stable")
        served.kill()
        expect(page.locator(VERDICT)).to_contain_text("Reconnecting")
        expect(page.locator("#shards > li")).to_have_count(3)


def test_a_router_that_starts_is_waited_for(browser, stable):
    page = browser.new_page()
    refusals = []

    def refuse(route):
        refusals.append(1)
        if len(refusals) < 3:
            route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "starting"}')
        else:
            route.continue_()

    page.route("**/v1/cluster/events", refuse)
    page.goto(f"http://{stable.address}/")
    expect(page.locator(VERDICT)).to_have_text("The router answers: starting. Trying again…")
    expect(page.locator(VERDICT)).to_contain_text("Stable")
    page.close()


# Anybody

def test_axe_finds_nothing(browser, moving, stable):
    found = []

    def judge(page: Page) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found.extend(Axe().run(page)["violations"])

    with looking(browser, stable.address) as page:
        expect(page.locator("#ring path")).to_have_count(3)
        judge(page)
        page.get_by_role("button", name="Remove s1").click()
        judge(page)
    with looking(browser, moving.address) as page:
        expect(page.locator("#moves tr")).to_have_count(3)
        judge(page)
    with standing_in(token="s3cret") as served, looking(browser, served.address) as page:
        expect(page.locator("#door")).to_be_visible()
        judge(page)
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_nothing_is_wider_than_the_screen(browser, moving):
    with looking(browser, moving.address) as page:
        expect(page.locator("#moves tr")).to_have_count(3)
        for width in (360, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_everything(browser, stable):
    with looking(browser, stable.address) as page:
        expect(page.locator(VERDICT)).to_contain_text("Stable")
        wanted = page.evaluate("""() => [...document.querySelectorAll("button, input, a")]
            .filter((one) => one.checkVisibility() && !one.disabled).length""")
        reached = set()
        for _ in range(wanted + 3):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("""() => [...document.querySelectorAll("button, input, a")]
                .indexOf(document.activeElement)"""))
        assert len(reached - {-1}) == wanted
        assert wanted >= 8


def test_a_picture_of_an_older_map_is_asked_for_again(browser, moving):
    """The stream and the picture may come from two workers."""
    page = browser.new_page()
    asked = []

    def older(route):
        asked.append(1)
        if len(asked) == 1:
            old = '<svg xmlns="http://www.w3.org/2000/svg" data-version="1"/>'
            route.fulfill(content_type="image/svg+xml", body=old)
        else:
            route.continue_()

    page.route("**/ring.svg", older)
    page.goto(f"http://{moving.address}/")
    expect(page.locator("#ring path[data-ring=owners]")).to_have_count(4)
    page.close()


def test_what_is_pointed_at_stands_out_on_the_ring(browser, stable):
    with looking(browser, stable.address) as page:
        expect(page.locator("#ring path")).to_have_count(3)
        page.locator("#shards > li").nth(1).hover()
        expect(page.locator("#ring path[data-dim]")).to_have_count(2)
        page.locator("h1").hover()
        expect(page.locator("#ring path[data-dim]")).to_have_count(0)


def test_without_scripts_it_says_where_the_facts_are(browser, stable):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://{stable.address}/")
    text = page.inner_text("noscript") if page.locator("noscript").count() else ""
    assert re.search("JSON", text + page.content())
    context.close()
