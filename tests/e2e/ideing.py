"""A browser at a running ide: a project's page as one person sees it."""
from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser import Complaints, Traffic
from tests.waiting import DEADLINE_S, wait_for

PATIENCE_MS = 60_000

# What Chromium itself says of answers that are no success, and of its own way to draw.
OF_CHROMIUM = re.compile(r"status of (401|404|409|412|422|503)|net::ERR_|WebSocket connection to|GPU stall|WebGL"
                         # xterm.js says how late it is; nothing here asks for a time.
                         r"|task queue exceeded allotted deadline")


class Desk:
    """A page, and what it complained of."""

    def __init__(self, ide, page):
        self.ide, self.page = ide, page
        self.complaints = Complaints(page, OF_CHROMIUM)
        self.traffic = Traffic(page)
        page.set_default_timeout(PATIENCE_MS)
        page.on("dialog", lambda dialog: (self.complaints.said.append(f"a dialog: {dialog.message}"), dialog.dismiss()))

    # ------------------------------------------------------------------------------------------------- what is there

    @property
    def state(self):
        return self.page.get_by_role("status", name="Save state")

    @property
    def tree(self):
        return self.page.get_by_role("tree", name="Files")

    @property
    def tabs(self):
        return self.page.get_by_role("tablist", name="Open files").get_by_role("tab")

    @property
    def projects(self):
        return self.page.get_by_role("list", name="Projects")

    def editor(self, path):
        return self.page.get_by_role("textbox", name=f"Editor: {path}", exact=True)

    def item(self, name):
        return self.tree.get_by_role("treeitem", name=name, exact=True)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def id(self):
        return self.page.url.rpartition("/p/")[2]

    def terminal(self, kind):
        """What the newest one of that kind shows."""
        shown = [each["text"] for each in self.page.evaluate(
            "ide.terminals().map((each) => ({kind: each.kind, text: each.text()}))") if each["kind"] == kind]
        return shown[-1] if shown else ""

    # ------------------------------------------------------------------------------------------------------- deeds

    def go(self, path=""):
        """With the token, as the address that the server prints."""
        self.page.goto(f"{self.ide.url}/{path}#token={self.ide.token}")

    def home(self):
        self.go()
        expect(self.page.get_by_role("heading", name="Projects")).to_be_visible()

    def open(self, project):
        self.go(f"p/{project['id']}")
        try:
            expect(self.tree).to_be_visible()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.traffic}") from None
        self.listening()

    def listening(self):
        """The page hears of what happens."""
        wait_for(lambda: self.page.evaluate("globalThis.ide?.page.events?.isConnected"), "the events socket")

    def create(self, name, template):
        self.button("New project").click()
        dialog = self.page.get_by_role("dialog", name="New project")
        dialog.get_by_role("textbox", name="Name").fill(name)
        dialog.get_by_role("radio", name=template, exact=True).check()
        dialog.get_by_role("button", name="Create").click()

    def write(self, path, text):
        """Type it in place of what the open file has."""
        self.editor(path).click()
        self.page.keyboard.press("Control+a")
        # Chromium's own insertion in place of coloured text would set a style attribute, and then say that it may not.
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(text)

    def saved(self):
        expect(self.state).to_have_text("Saved")

    def shows(self, kind, text, within_s=DEADLINE_S):
        wait_for(lambda: text in self.terminal(kind), f"{text!r} in the terminal: {self.terminal(kind)!r}", within_s)

    def shell(self, line, within_s=DEADLINE_S):
        """A line for the shell."""
        wait_for(lambda: re.search(r"[$#]\s*$", self.terminal("shell")), "a prompt", within_s)
        # The newest one, as in `terminal`: a page whose question was cut off may have been given two.
        self.page.get_by_role("region", name="Terminal").get_by_role("tab", name=re.compile("^Shell ")).last.click()
        self.page.keyboard.type(line + "\n")

    def on_disk(self, path, id=None):
        return self.ide.ask("GET", f"/api/projects/{id or self.id}/file?path={path}").body

    def written(self, path, data):
        """As a program in the terminal would, past the page."""
        (self.ide.folder / "data" / "projects" / self.id / "files" / path).write_bytes(data)

    def finish(self):
        """Nothing was complained of, no policy broken."""
        self.complaints.check()
