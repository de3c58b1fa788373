"""Several windows of the page at one door: a browser opens six connections to it, and all of them live on those."""
from __future__ import annotations

import json
import sys
from contextlib import ExitStack, contextmanager

import pytest
from playwright.sync_api import expect

from tests.crdt.demos import NAMES
from tests.proxies import Proxy
from tests.waiting import free_port, running

from .crdting import AGREE, View

PATHS = {"a": "/", "b": "/b/", "c": "/c/"}


@contextmanager
def replicas_up(folder):
    """Three replicas whose pages share one origin; their ports by name."""
    ports = {name: free_port() for name in NAMES}
    with ExitStack() as stack:
        processes = []
        for name in NAMES:
            config = folder / f"{name}.yaml"
            config.write_text(json.dumps({
                "replica": name, "listen": f"127.0.0.1:{ports[name]}", "data": str(folder / name), "peers": [
                    {"name": other, "url": f"http://127.0.0.1:{port}", "public": PATHS[other]}
                    for other, port in ports.items() if other != name]}))
            processes.append(stack.enter_context(running(
                [sys.executable, "-P", "-m", "hotpath.crdt", "serve", "--config", str(config)])))
        for process in processes:
            process.wait_for_output("ready: ")
        yield ports


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """The URL of one door before three replicas."""
    with replicas_up(tmp_path_factory.mktemp("replicas")) as ports, Proxy({
        "upstreams": {name: {"servers": [f"127.0.0.1:{port}"]} for name, port in ports.items()},
        "routes": [{"match": {"prefix": PATHS[name]}, "strip_prefix": PATHS[name].rstrip("/"), "upstream": name}
                   if name != "a" else {"match": {"prefix": "/"}, "upstream": name} for name in reversed(NAMES)],
    }) as proxy:
        yield f"http://{proxy.address}"


@pytest.fixture
def new_window(browser):
    """`new_window(url)`: one more in the same browser; all of them are in sight."""
    context = browser.new_context()
    views = []

    def opened(url):
        view = View(context.new_page())
        views.append(view)
        view.page.goto(url)
        view.expect_verdict(AGREE)
        return view

    yield opened
    complaints = [view.complaints for view in views]
    context.close()
    assert not any(complaints)


def test_all_windows_live_and_one_more_request_is_answered(door, new_window):
    """Three of them would need nine connections, had each its own streams."""
    views = [new_window(f"{door}/"), new_window(f"{door}/"), new_window(f"{door}/b/")]
    for key, view in enumerate(views):
        view.add(f"key {key}", "1", "c")
    for view in views:
        for key in range(len(views)):
            view.expect_everywhere(f"key {key}", "1")
        expect(view.page.locator('[data-state="silent"]')).to_have_count(0)
    assert views[0].page.evaluate("fetch('healthz').then(({status}) => status)") == 200


def test_when_the_window_that_listens_is_closed_another_listens(door, new_window):
    first, second, third = (new_window(f"{door}/") for _ in range(3))
    first.page.close()
    second.add("after the first", "1", "a")
    third.expect_everywhere("after the first", "1")
    second.page.close()
    third.add("after the second", "1", "b")
    third.expect_everywhere("after the second", "1")
    third.expect_verdict(AGREE)
