"""A process that may not signal the master can ring for a reload, and hears the verdict."""
from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotpath.core.tasks import run, sleep, spawn
from hotpath.proxy import reloads
from hotpath.proxy.reloads import MAX_REASON_BYTES, Reloads
from tests.clients import fetch
from tests.proxies import Proxy
from tests.waiting import wait_for


@pytest.fixture
def hups() -> Any:
    """The HUPs that reach us, instead of ending us."""
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: came.append(number))
    yield came
    signal.signal(signal.SIGHUP, before)


def asked(shared: Reloads, hups: list[int], verdict: Callable[[], None]) -> str | None:
    """What `ask` answers when the master gives this verdict on the HUP."""
    def master() -> None:
        while not hups:
            sleep(0.001)
        verdict()

    def both() -> str | None:
        spawn(master)
        return shared.ask()

    return run(both)


def test_who_asks_hears_what_became_of_it(hups: list[int]) -> None:
    shared = Reloads()
    assert asked(shared, hups, shared.taken) is None
    hups.clear()
    assert asked(shared, hups, lambda: shared.refused("line 1: höher")) == "line 1: höher"
    assert (shared.n_ok, shared.n_failed) == (1, 1)


def test_an_endless_reason_is_cut_and_the_next_is_not_mixed_with_it(hups: list[int]) -> None:
    shared = Reloads()
    assert asked(shared, hups, lambda: shared.refused("x" * 10_000)) == "x" * MAX_REASON_BYTES
    hups.clear()
    assert asked(shared, hups, lambda: shared.refused("short")) == "short"


def test_a_master_that_is_busy_does_not_hold_the_answer_for_ever(
    hups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloads, "VERDICT_S", 0.05)
    assert run(Reloads().ask) is None
    assert len(hups) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_warden_that_is_somebody_else_can_ask() -> None:
    with Proxy({"user": "nobody", "routes": [{"respond": {"body": "one"}}]}) as proxy:
        (warden,) = set(proxy.children()) - set(proxy.workers())
        assert Path(f"/proc/{warden}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        proxy.write({"user": "nobody", "routes": [{"respond": {"body": "two"}}]})
        assert fetch(proxy.admin, "/v1/reload", "POST").status == 202
        wait_for(lambda: fetch(proxy.address, "/").body == b"two", "the new config")
        proxy.write({"user": "nobody", "rotes": []})
        assert "rotes: unknown key" in fetch(proxy.admin, "/v1/reload", "POST").json()["detail"]
