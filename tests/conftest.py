"""HOTPATH_REQUIRE_ALL=1 fails what skips; examples have no deadline; Ctrl+C is heard; in which order; fixtures."""
from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from itertools import groupby
from pathlib import Path

import hypothesis
import pytest

from tests.waiting import free_port

# Nothing here asserts a time: a busy machine makes any example slow. Nor is what fails made smaller: where an example
# takes a second, that outlasts pytest's timeout, which then is all one is told. With --hypothesis-profile=shrinking
# the same failure is found again, and made smaller for as long as it takes.
hypothesis.settings.register_profile("shrinking", deadline=None)
hypothesis.settings.register_profile(
    "untimed", deadline=None, phases=[hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate])
hypothesis.settings.load_profile("untimed")

# A script that runs us with `&` has made us deaf to Ctrl+C, and so all that we start, whose ear for it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BROWSERS = Path(__file__).with_name("e2e")
REQUIRE_ALL = os.environ.get("HOTPATH_REQUIRE_ALL", "0") not in ("", "0")


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip; an expected failure is not a skip."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"HOTPATH_REQUIRE_ALL allows no skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow comes first: of two workers none shall begin it when the other has nothing left to do.

    Browsers are spread over the rest: four of them at once leave none a processor.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    files = [list(group) for _, group in groupby(items, lambda item: item.path)]
    browsers = [file for file in files if file[0].path.parent == BROWSERS]
    others = [file for file in files if file[0].path.parent != BROWSERS]
    step = len(others) // (len(browsers) + 4)       # none is left for the end, where others have nothing to do
    for n, file in enumerate(browsers, 1):
        others.insert(n * (step + 1), file)
    items[:] = [item for file in others for item in file]


def pytest_collection_finish() -> None:
    """Many tests fork a server, and a collection of garbage in it would copy what 20,000 tests are made of."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def port() -> int:
    """A free TCP port of 127.0.0.1."""
    return free_port()
