"""The page of a dictionary's replicas in a browser, as its reader sees it."""
from __future__ import annotations

import re
from contextlib import contextmanager

from playwright.sync_api import expect

from tests.browser import Complaints
from tests.crdt.demos import NAMES

from .chatting import PATIENCE_MS

NOTHING = re.compile("(?!)")       # is forgiven
AGREE = "All three agree."


class View:
    """The page as a reader sees it."""

    def __init__(self, page):
        self.page = page
        self.complaints = Complaints(page, NOTHING)
        page.set_default_timeout(PATIENCE_MS)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def column(self, name):
        return self.page.get_by_role("region", name=f"Replica {name}")

    def row(self, key, name):
        return self.column(name).locator(f'.row[data-key="{key}"]')

    def value(self, key, name):
        return self.page.get_by_role("textbox", name=f"Value of {key} at {name}", exact=True)

    def link(self, one, other):
        return self.page.locator(f'[data-link="{one}-{other}"]')

    def add(self, key, value, name):
        self.column(name).get_by_label("New key").fill(key)
        self.column(name).get_by_label("Its value").fill(value)
        self.column(name).get_by_role("button", name="Add").click()
        expect(self.value(key, name)).to_have_value(value)

    def edit(self, key, value, name):
        self.value(key, name).fill(value)
        self.value(key, name).press("Enter")
        expect(self.row(key, name)).not_to_have_attribute("data-dirty", "")

    def expect_verdict(self, text):
        expect(self.page.get_by_role("status").first).to_have_text(text)

    def expect_everywhere(self, key, value):
        for name in NAMES:
            expect(self.value(key, name)).to_have_value(value)


@contextmanager
def opened(browser, url, **options):
    context = browser.new_context(**options)
    try:
        view = View(context.new_page())
        view.page.goto(url)
        yield view
    finally:
        context.close()
