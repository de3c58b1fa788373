"""Several windows of the page at one door: a browser opens six connections to it, and all of them live on those."""
from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.crdt.clusters import cluster
from tests.crdt.demos import NAMES
from tests.proxies import Proxy

from .crdting import AGREE, View

PATHS = {"a": "/", "b": "/b/", "c": "/c/"}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """The URL of one door before three replicas, whose pages know each other by their paths there."""
    with cluster(tmp_path_factory.mktemp("replicas"), "".join(NAMES)) as group, Proxy({
        "upstreams": {name: {"servers": [f"127.0.0.1:{member.port}"]} for name, member in group.members.items()},
        "routes": [{"match": {"prefix": "/b/"}, "strip_prefix": "/b", "upstream": "b"},
                   {"match": {"prefix": "/c/"}, "strip_prefix": "/c", "upstream": "c"},
                   {"match": {"prefix": "/"}, "upstream": "a"}],
    }) as proxy:
        for one in group.members.values():
            for other in group.members.values():
                if one is not other:
                    one.ask("POST", "/members", {"name": other.name, "url": other.url, "public": PATHS[other.name]})
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
    complaints = [view.complaints.said for view in views]
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
