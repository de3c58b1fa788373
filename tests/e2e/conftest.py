"""A running chat, a browser, and two people in it."""
from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import chromium

from .chatting import PATIENCE_MS, Pair, real_house


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    with real_house(tmp_path_factory.mktemp("chat")) as home:
        yield home


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as browser:
        yield browser


@pytest.fixture
def pair(home, browser):
    pair = Pair(home, browser)
    yield pair
    pair.close()


@pytest.fixture
def both(pair):
    """Two people, on two gateways."""
    ann = pair.view(pair.ann)
    context = pair.context(pair.ben)
    pair.elsewhere(context, ann.line)
    ben = pair.view(pair.ben, context)
    assert ann.line != ben.line
    return ann, ben
