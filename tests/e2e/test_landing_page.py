"""The landing page in a browser: how the six are, the way into each, and what is said when nobody knows.

`status.json` comes from here, in the house's form, so that a test decides how everything is; the files, their policy
and the browser are real. tests/e2e/test_house*.py look at the house itself.
"""
from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

import hotpath
from hotpath.core.serve.pages import KIT, policy
from tests.browser import chromium
from tests.waiting import free_port

PAGE = Path(hotpath.__file__).parent / "page"
NAMES = ("proxy", "chat", "ide", "crdt", "shard", "locking")
PATIENCE_MS = 60_000            # a shared machine stalls for seconds
CHECK_EVERY_S = 0.2


def part(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": name.capitalize(), "about": f"What {name} is.",
            "path": None if name == "proxy" else f"/{name}/", "well": True, "latency_ms": 0.8, "restarts": 0,
            "engine": f"{name} engine", "figures": [{"label": "requests", "value": 1234.5, "unit": "/s"},
                                                    {"label": "rows", "value": None, "unit": ""}],
            "links": [{"path": f"/{name}/metrics", "text": f"{name} metrics"}]} | more


class House:
    """What the door answers; `parts` is changed by the tests."""

    def __init__(self) -> None:
        self.parts = {name: part(name) for name in NAMES}
        self.written_s: float | None = None         # when the status was written; None: this moment
        self.status = 200
        self.url = ""

    @property
    def document(self) -> bytes:
        return json.dumps(
            {"version": "1.2.3", "check_every_s": CHECK_EVERY_S, "parts": list(self.parts.values())}).encode()


class Door(SimpleHTTPRequestHandler):
    """The page at `/`, the kit at `/kit/`, the status; all of it below `/prefix/` as well."""

    def __init__(self, house: House, *given: Any) -> None:
        self.house = house
        super().__init__(*given)

    def translate_path(self, path: str) -> str:
        path = path.removeprefix("/prefix")
        return str(KIT / path.removeprefix("/kit/") if path.startswith("/kit/") else PAGE / (path[1:] or "index.html"))

    def do_GET(self) -> None:
        if not self.path.endswith("/status.json"):
            super().do_GET()
            return
        body = self.house.document
        self.send_response(self.house.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", formatdate(self.house.written_s, usegmt=True))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", policy())
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def opened(house: House, port: int = 0) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", port), partial(Door, house)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        house.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    with opened(house):
        yield house


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as browser:
        yield browser


@contextmanager
def looking(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The page; it must not complain."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text)
            if message.type == "error" and not re.search("Failed to load resource|net::ERR", message.text) else None)
    try:
        page.goto(url)
        yield page
        assert complaints == []
    finally:
        context.close()


def card(page: Page, name: str) -> Any:
    return page.locator(f"#parts > [data-name={name}]")


def test_all_six_are_shown_with_their_figures(browser, house):
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#verdict")).to_have_text("All six are well.")
        expect(page.locator("#verdict")).to_have_attribute("data-mood", "well")
        expect(page.locator("#parts > li")).to_have_count(6)
        expect(page.get_by_role("heading", level=3)).to_have_text([name.capitalize() for name in NAMES])
        shard = card(page, "shard")
        expect(shard).to_contain_text("What shard is.")
        expect(shard).to_contain_text("shard engine")
        expect(shard).to_contain_text("answers in 0.8\u00a0ms")
        expect(shard.locator("dd")).to_have_text(["1\u202f235/s", "–"])
        house.parts["shard"]["figures"][0]["value"] = 7
        expect(shard.locator("dd").first).to_have_text("7/s")
        expect(shard.locator(".line")).to_have_attribute("d", re.compile("^M.*L"))
        expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
        expect(page.locator("footer")).to_contain_text("hotpath 1.2.3")


def test_each_system_but_the_door_is_led_into_and_each_link_is_relative(browser, house):
    with looking(browser, f"{house.url}/prefix/") as page:
        expect(page.locator("#parts > li")).to_have_count(6)
        assert page.locator("h3 a").evaluate_all("all => all.map((a) => new URL(a.href).pathname)") == [
            f"/prefix/{name}/" for name in NAMES if name != "proxy"]
        expect(card(page, "ide").get_by_role("link", name="ide metrics")).to_have_attribute(
            "href", f"{house.url}/prefix/ide/metrics")
        # All of the card leads there, except for what else can be clicked on it.
        card(page, "chat").click(position={"x": 30, "y": 90})
        page.wait_for_url("**/prefix/chat/")


def test_one_that_does_not_answer_is_named_and_said_once(browser, house):
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#verdict")).to_have_text("All six are well.")
        page.evaluate("""() => {
            window.said = [];
            new MutationObserver(() => window.said.push(document.querySelector("#said").textContent))
                .observe(document.querySelector("#said"), {childList: true, characterData: true, subtree: true});
        }""")
        house.parts["ide"] |= {"well": False, "latency_ms": None}
        expect(page.locator("#verdict")).to_have_text("Ide does not answer; it is started again.")
        expect(card(page, "ide").locator(".pill")).to_have_text("does not answer")
        expect(page).to_have_title("(1) hotpath")
        house.parts["ide"] |= {"restarts": 1}
        expect(card(page, "ide").locator(".pill")).to_have_text("starting again")
        house.parts["chat"] |= {"well": False, "latency_ms": None}
        expect(page.locator("#verdict")).to_have_text("Chat and Ide do not answer; they are started again.")
        house.parts = {**house.parts, **{name: part(name, restarts=1) for name in ("ide", "chat")}}
        expect(page.locator("#verdict")).to_have_text("All six are well.")
        expect(card(page, "ide")).to_contain_text("restarted once")
        assert len(page.evaluate("window.said")) == 3


def test_a_door_that_goes_and_comes_back_is_said(browser):
    house, port = House(), free_port()
    with opened(house, port):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{house.url}/")
        expect(page.locator("#verdict")).to_have_text("All six are well.")
    expect(page.locator("#verdict")).to_have_text("The house does not answer. Trying again…")
    expect(page.locator("#when")).to_contain_text("What you see is how it was at")
    expect(page.locator("#main")).to_have_attribute("data-stale", "")
    expect(page.locator("#parts > li")).to_have_count(6)
    with opened(house, port):
        expect(page.locator("#verdict")).to_have_text("All six are well.")
        expect(page.locator("#main")).not_to_have_attribute("data-stale", "")
        context.close()


def test_a_house_that_is_not_told_about_is_said(browser, house):
    house.status = 404
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#verdict")).to_contain_text("nobody says how the systems are: the server answered 404")
        house.status = 200
        expect(page.locator("#verdict")).to_have_text("All six are well.")


def test_a_house_that_is_stuck_is_said(browser, house):
    house.written_s = 1_000_000_000.0
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#verdict")).to_contain_text("The house is stuck")
        house.written_s = None
        expect(page.locator("#verdict")).to_have_text("All six are well.")


def test_a_system_below_it_finds_the_way_back(browser, house):
    lead = """async ([kit, root]) => {
        const {wayHome} = await import(kit);
        const link = document.createElement("a");
        link.hidden = true;
        wayHome(link, new URL(root, document.baseURI));
        return link.hidden ? null : new URL(link.href).pathname;
    }"""
    with looking(browser, f"{house.url}/prefix/") as page:
        expect(page.locator("#parts > li")).to_have_count(6)
        kit = f"{house.url}/kit/house.js"
        assert page.evaluate(lead, [kit, "chat/"]) == "/prefix/"
        assert page.evaluate(lead, [kit, "/elsewhere/chat/"]) is None
        assert page.evaluate(lead, [kit, "/prefix/"]) is None


# Anybody

@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, house, scheme):
    house.parts["locking"] |= {"well": False, "latency_ms": None, "restarts": 3}
    with looking(browser, f"{house.url}/", color_scheme=scheme) as page:
        expect(page.locator("#parts > li")).to_have_count(6)
        found = Axe().run(page)["violations"]
        house.status = 500
        expect(page.locator("#main")).to_have_attribute("data-stale", "")
        found += Axe().run(page)["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_nothing_is_wider_than_the_screen(browser, house):
    house.parts["shard"] |= {"title": "Averyveryveryveryverylongname" * 2, "engine": "x" * 60}
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#parts > li")).to_have_count(6)
        for width in (320, 390, 768, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_everything_in_order(browser, house):
    with looking(browser, f"{house.url}/") as page:
        expect(page.locator("#parts > li")).to_have_count(6)
        wanted = page.locator("button, a[href]").evaluate_all("all => all.map((one) => one.textContent)")
        reached = []
        for _ in wanted:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent"))
        assert reached == wanted
        assert len(wanted) >= 13


def test_colours_are_chosen_kept_and_shared_with_other_tabs(browser, house):
    paper = "getComputedStyle(document.body).backgroundColor"
    with looking(browser, f"{house.url}/", color_scheme="light") as page:
        light = page.evaluate(paper)
        other = page.context.new_page()
        other.goto(f"{house.url}/prefix/")
        page.get_by_role("button", name="Dark colours").click()
        assert page.evaluate(paper) != light
        expect(other.get_by_role("button", name="Light colours")).to_be_visible()
        assert other.evaluate(paper) == page.evaluate(paper)
        page.reload()
        expect(page.get_by_role("button", name="Light colours")).to_be_visible()


def test_without_scripts_the_ways_in_are_there(browser, house):
    with looking(browser, f"{house.url}/", java_script_enabled=False) as page:
        assert page.locator("noscript a").evaluate_all("all => all.map((a) => a.getAttribute('href'))") == [
            *(f"{name}/" for name in NAMES if name != "proxy"), "status.json"]


def test_the_files_keep_the_rules():
    """One policy; addresses that work behind a prefix; no data that becomes markup."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', (PAGE / "index.html").read_text())
    assert found is not None
    assert policy() == f"{found[1]}; frame-ancestors 'none'"
    for path in PAGE.iterdir():
        text = path.read_text()
        assert not re.search(r"""(?:src|href|from|url|fetch|ask|import)\s*[=(]?\s*["'`]/""", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), path
        assert path.suffix == ".svg" or not re.search(r"<[^>]+\s(?:style|on\w+)=", text), path
