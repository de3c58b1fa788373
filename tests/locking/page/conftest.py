"""A real server on SQLite, and the page in a real browser."""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from hotpath.core.serve.testing import launched
from tests.browser import Complaints, chromium
from tests.scratch import scratch

PATIENCE_MS = 60_000            # a shared machine stalls for seconds
PHONE = {"width": 390, "height": 780}

# A refusal that the page is there to show: "Failed to load resource … 412".
OF_CHROMIUM = re.compile("Failed to load resource")


def command(folder, listen="127.0.0.1:0"):
    return [sys.executable, "-P", "-m", "hotpath.locking", "serve", "--listen", listen, "--data", str(folder)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    # In memory: where a commit takes as long as a slow disk likes, ten attempts may not be enough for everybody.
    with scratch("locking") as folder, launched(command(folder)) as served:
        yield served.address


@pytest.fixture
def guarded(tmp_path) -> Iterator[str]:
    """A server that asks for the token `s3cret`."""
    with launched(command(tmp_path), env={**os.environ, "HOTPATH_LOCKING_TOKEN": "s3cret"}) as served:
        yield served.address


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as browser:
        yield browser


class View:
    """The page as a reader sees it."""

    def __init__(self, page):
        self.page = page
        self.complaints = Complaints(page, OF_CHROMIUM)
        page.set_default_timeout(PATIENCE_MS)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, scenario, policy):
        self.page.get_by_role("radio", name=scenario).check()
        self.page.get_by_role("radio", name=policy).check()

    def run(self, scenario, policy):
        """Where nothing moves by itself: all of it is shown at once."""
        self.choose(scenario, policy)
        with self.page.expect_response("**/scenarios/*"):
            self.button("Run it").click()
        title = f"{scenario}, {policy.lower().replace(' ', '-')}, on sqlite"
        expect(self.page.locator("#playing")).to_have_text(title)
        expect(self.verdict).to_be_visible()

    @property
    def verdict(self):
        return self.page.locator("#verdict")

    @property
    def shown(self):
        """The steps that are to be seen."""
        return self.page.locator("#timeline > li:visible")

    @property
    def place(self):
        return self.page.locator("#place")

    def person(self, name):
        return self.page.get_by_role("region", name=name, exact=True)


@contextmanager
def looking(browser, address, **options):
    """The page; it must not have complained in the end. Nothing moves by itself, unless `options` say otherwise."""
    context = browser.new_context(**{"reduced_motion": "reduce", "viewport": {"width": 1280, "height": 900}, **options})
    try:
        view = View(context.new_page())
        view.page.goto(f"http://{address}/")
        yield view
        view.complaints.check()
    finally:
        context.close()


@pytest.fixture
def view(browser, address):
    with looking(browser, address) as view:
        yield view
