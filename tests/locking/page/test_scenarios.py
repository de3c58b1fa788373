"""A scenario is chosen, run on a real database, and replayed statement by statement."""
from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from .conftest import looking

MORNING = datetime(2030, 1, 1, 8)


def test_the_scenarios_and_their_policies_are_there_the_failing_first(view):
    names = view.page.locator("#names label")
    expect(names).to_have_text(["Lost update", "Write skew", "Deadlock", "Seat booking", "Bank transfer"])
    expect(view.page.locator("#idle")).to_be_visible()
    expect(view.page.locator("#stage")).to_be_hidden()
    view.page.get_by_role("radio", name="Write skew").check()
    expect(view.page.locator("#policies label")).to_have_text([
        "Naive lets it happen", "Version only lets it happen", "Unchanged", "Pessimistic"])
    expect(view.page.get_by_role("radio", name="Naive")).to_be_checked()
    expect(view.page.locator("#story")).to_contain_text("on call")


def test_a_lost_update_is_seen_side_by_side_and_said(view):
    view.run("Lost update", "Naive")
    expect(view.verdict).to_contain_text("Broken")
    expect(view.verdict).to_contain_text("went missing, and nobody was told")
    expect(view.page.locator("#said")).to_contain_text("Broken")
    expect(view.shown.filter(has_text="UPDATE stock SET amount=")).to_have_count(2)
    expect(view.page.locator("#heads .head")).to_have_text(["alice", "bob"])
    one, other = (view.shown.filter(has_text="UPDATE stock").nth(n).locator(".what").bounding_box() for n in (0, 1))
    assert one is not None
    assert other is not None
    assert one["x"] + one["width"] <= other["x"]
    assert one["y"] < other["y"]


def test_a_conflict_and_the_new_try_are_marked(view):
    view.run("Lost update", "Optimistic")
    expect(view.verdict).to_contain_text("Safe")
    expect(view.verdict).to_contain_text("One try had to start over.")
    expect(view.shown.and_(view.page.locator("[data-mark=bad]"))).to_contain_text("conflict: somebody was first")
    expect(view.shown.and_(view.page.locator("[data-mark=retry]"))).to_contain_text("starts over: try 2")


def test_who_waits_has_a_bar_in_its_lane_and_on_the_line_of_time(view):
    view.run("Lost update", "Pessimistic")
    expect(view.verdict).to_contain_text("Safe")
    expect(view.shown.and_(view.page.locator("[data-mark=wait]"))).to_contain_text("waits")
    for rail in ("wait-first", "wait-to"):
        expect(view.page.locator(f"[data-rail={rail}][data-hue='1']")).to_have_count(1)
    expect(view.page.locator("#strip rect.wait")).to_have_count(1)
    expect(view.page.locator("#strip svg")).to_have_attribute("aria-label", re.compile("bob waits from"))
    expect(view.shown.filter(has_text="goes on after")).to_have_count(1)


@pytest.mark.parametrize(("scenario", "policy", "verdict"), [
    ("Write skew", "Version only", "Broken"), ("Write skew", "Unchanged", "Safe"), ("Deadlock", "Retried", "Safe"),
    ("Deadlock", "Ordered", "Safe"), ("Seat booking", "Naive", "Broken"), ("Seat booking", "Optimistic", "Safe"),
    ("Bank transfer", "Naive", "Broken"), ("Bank transfer", "Pessimistic", "Safe"),
])
def test_every_kind_of_end_is_told_from_the_data(view, scenario, policy, verdict):
    view.run(scenario, policy)
    expect(view.page.locator("#verdict-title")).to_have_text(verdict)
    expect(view.page.locator("#measure dt").last).to_have_text("Attempts")


def test_keys_step_forward_and_back(view):
    view.run("Lost update", "Naive")
    count = view.shown.count()
    keys = view.page.keyboard
    keys.press("ArrowLeft")
    expect(view.place).to_have_text(f"{count - 1} / {count}")
    expect(view.shown).to_have_count(count - 1)
    expect(view.verdict).to_be_hidden()
    expect(view.shown.last).to_have_attribute("aria-current", "step")
    expect(view.page.locator("#said")).to_contain_text("bob: UPDATE stock")
    keys.press("ArrowRight")
    expect(view.verdict).to_be_visible()
    view.button("Start").click()
    expect(view.shown).to_have_count(0)
    keys.press("ArrowLeft")
    expect(view.place).to_have_text(f"0 / {count}")
    keys.press("ArrowRight")
    expect(view.shown).to_have_count(1)


def test_keys_that_choose_a_policy_or_type_do_not_step(view):
    view.run("Lost update", "Naive")
    place = view.place.inner_text()
    view.page.get_by_role("radio", name="Naive").press("ArrowRight")
    expect(view.page.get_by_role("radio", name="Optimistic")).to_be_checked()
    expect(view.place).to_have_text(place)


def test_the_slider_and_a_click_on_the_line_of_time_go_to_a_step(view):
    view.run("Lost update", "Naive")
    count = view.shown.count()
    view.page.get_by_label("Step", exact=True).fill("3")
    expect(view.shown).to_have_count(3)
    view.page.locator("#strip svg").click(position={"x": 2, "y": 5})
    expect(view.place).to_have_text(f"1 / {count}")


def test_it_plays_by_itself_and_pauses(browser, address):
    with looking(browser, address, reduced_motion="no-preference") as view:
        view.page.clock.install(time=MORNING)
        view.page.clock.pause_at(MORNING + timedelta(hours=1))
        view.choose("Lost update", "Naive")
        view.button("Run it").click()
        expect(view.button("Pause")).to_be_visible()
        expect(view.shown).to_have_count(0)
        view.page.get_by_label("Pace").select_option("slow")
        view.page.clock.run_for(800)
        expect(view.shown).to_have_count(1)
        view.page.clock.run_for(3200)
        expect(view.shown).to_have_count(3)
        view.button("Pause").click()
        view.page.clock.run_for(60_000)
        expect(view.shown).to_have_count(3)
        view.button("Play").click()
        view.page.clock.run_for(60_000)
        expect(view.verdict).to_be_visible()
        expect(view.verdict).to_be_in_viewport()
        expect(view.button("Play again")).to_be_visible()


def test_who_wants_no_motion_sees_all_at_once(view):
    view.choose("Lost update", "Naive")
    view.button("Run it").click()
    expect(view.verdict).to_be_visible()
    expect(view.button("Play again")).to_be_visible()


def test_every_policy_runs_and_each_can_be_watched(view):
    view.page.get_by_role("radio", name="Lost update").check()
    view.button("Run every policy").click()
    rows = view.page.locator("#compared > li")
    expect(rows.locator("b")).to_have_text(["Naive", "Optimistic", "Pessimistic", "Escalating", "Atomic"])
    expect(rows.locator(".stamp")).to_have_text(["Broken", "Safe", "Safe", "Safe", "Safe"])
    view.button("Watch escalating").click()
    expect(view.page.locator("#playing")).to_have_text("Lost update, escalating, on sqlite")
    expect(view.verdict).to_contain_text("Safe")


def test_an_address_names_what_was_run(browser, address):
    with looking(browser, address) as view:
        view.run("Seat booking", "Pessimistic")
        assert view.page.url.endswith("#seat-booking/pessimistic")
        view.page.reload()
        expect(view.page.get_by_role("radio", name="Seat booking")).to_be_checked()
        expect(view.page.get_by_role("radio", name="Pessimistic")).to_be_checked()


def test_a_run_that_fails_is_said_and_can_be_tried_again(view):
    view.page.route("**/scenarios/*", lambda route: route.fulfill(
        status=503, content_type="application/problem+json", body=json.dumps({"detail": "others wait"})))
    view.button("Run it").click()
    expect(view.page.locator("#trouble")).to_contain_text("It did not run: the server answered 503: others wait")
    view.button("Run every policy").click()
    expect(view.page.locator("#compared .stamp").first).to_have_text("did not run")
    view.page.unroute("**/scenarios/*")
    view.button("Run it").click()
    expect(view.verdict).to_be_visible()
    expect(view.page.locator("#trouble")).to_be_hidden()


def test_many_actors_share_a_column_and_keep_their_names(view):
    names = ["ann", "ben", "cat", "dan", "eve"]
    steps = [{"n": n, "t_ms": n, "actor": name, "sql": "SELECT 1", "outcome": "ok"} for n, name in enumerate(names, 1)]
    view.page.route("**/scenarios/*", lambda route: route.fulfill(json={
        "scenario": "seat-booking", "policy": "naive", "backend": "sqlite", "verdict": "safe", "expected": "safe",
        "ok": True, "attempts": 5, "measure": {"seats": 5, "clients": 5, "sold": 5}, "steps": steps}))
    view.run("Seat booking", "Naive")
    expect(view.shown.locator(".who")).to_have_text(names)
    places = {box["x"] for box in (view.shown.nth(n).locator(".what").bounding_box() for n in range(5)) if box}
    assert len(places) == 1


def test_what_the_server_says_is_text_and_nothing_else(view):
    hostile = "<img src=x onerror=alert(1)>"
    view.page.route("**/scenarios/*", lambda route: route.fulfill(json={
        "scenario": "lost-update", "policy": "naive", "backend": "sqlite", "verdict": "safe", "expected": "safe",
        "ok": True, "attempts": 1, "measure": {"start": hostile, "deltas": [hostile], "final": hostile, "lost": 0},
        "steps": [{"n": 1, "t_ms": 1, "actor": hostile, "sql": f"SELECT '{hostile}'", "outcome": hostile,
                   "note": hostile}]}))
    view.run("Lost update", "Naive")
    expect(view.shown).to_contain_text(f"SELECT '{hostile}'")
    assert view.page.locator("img[src=x]").count() == 0
