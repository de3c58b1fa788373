"""A person grows the cluster on its page, while rows are written: real router, real files, real browser."""
from __future__ import annotations

import json
import sys
import threading

from playwright.sync_api import expect

from hotpath.core.serve.testing import launched
from tests.browser import chromium
from tests.clients import Client, fetch
from tests.waiting import wait_for

JSON = [("Content-Type", "application/json")]
POSTS = "/v1/tables/posts"
EVENTS = "**/v1/cluster/events"
CONFIG = """
cluster: page
shards: 2
tables:
  posts:
    key: id
    columns:
      id: {type: bigint, generate: true}
      title: string(50)
"""


def served_in(folder):
    """A router of two shards."""
    file = folder / "shard.yaml"
    file.write_text(CONFIG)
    command = [sys.executable, "-P", "-m", "hotpath.shard", "serve", "--config", str(file), "--listen", "127.0.0.1:0"]
    return launched(command)


def test_a_shard_comes_and_goes_by_the_buttons(tmp_path):
    expect.set_options(timeout=60_000)
    with served_in(tmp_path) as served, chromium() as browser:
        rows = json.dumps([{"title": f"t{n}"} for n in range(2000)]).encode()
        assert fetch(served.address, POSTS, "POST", JSON, rows).json()["inserted"] == 2000
        stop, statuses = threading.Event(), set()

        def write() -> None:
            with Client(served.address) as client:
                while not stop.is_set():
                    statuses.add(client.ask("POST", POSTS, JSON, b'{"title": "while"}').status)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            page = browser.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.goto(f"http://{served.address}/")
            verdict = page.locator("#verdict")
            expect(verdict).to_have_text("Stable: 2 shards, all up.")

            page.get_by_label("Name").fill("s2")
            page.get_by_label("Hold before completion").check()
            page.get_by_role("button", name="Add", exact=True).click()
            expect(verdict).to_contain_text("held until you complete or cancel it")
            expect(page.locator("#shards > li")).to_have_count(3)
            expect(page.locator("#ring path[data-ring=owners]")).to_have_count(3)
            page.get_by_role("button", name="Complete").click()
            expect(verdict).to_have_text("Stable: 3 shards, all up.")
            expect(page.locator("#steps [aria-current=step]")).to_have_text("done")

            page.get_by_role("button", name="Remove s2").click()
            page.locator("#sure-yes").click()
            expect(page.locator("#move-title")).to_have_text("Removing s2")
            expect(verdict).to_have_text("Stable: 2 shards, all up.")
            expect(page.locator("#shards > li")).to_have_count(2)
            assert complaints == []
        finally:
            stop.set()
            writer.join()
        assert statuses == {201}


def test_a_page_that_heard_nothing_of_a_move_tells_of_it_afterwards(tmp_path):
    expect.set_options(timeout=60_000)

    def change(method, path, body=None):
        assert fetch(served.address, path, method, JSON, body).status == 202
        wait_for(lambda: fetch(served.address, "/v1/cluster/reshard").json()["state"] == "done", "the end of the move")

    with served_in(tmp_path) as served, chromium() as browser:
        page = browser.new_page()
        verdict = page.locator("#verdict")
        said = b"event: status\ndata: %b\n\n" % fetch(served.address, "/v1/cluster").body
        page.route(EVENTS, lambda route: route.abort())
        page.route(EVENTS, lambda route: route.fulfill(content_type="text/event-stream", body=said), times=1)
        page.goto(f"http://{served.address}/")
        expect(verdict).to_contain_text("Connection lost")
        change("POST", "/v1/cluster/shards", b'{"name": "s2"}')
        change("DELETE", "/v1/cluster/shards/s2")

        page.route("**/v1/cluster/reshard", lambda route: route.abort(), times=1)   # and one more loss
        page.unroute(EVENTS)
        expect(verdict).to_have_text("Stable: 2 shards, all up.")
        expect(page.locator("#move-title")).to_have_text("Removing s2")
        expect(page.locator("#steps [aria-current=step]")).to_have_text("done")
