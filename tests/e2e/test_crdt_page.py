"""The page in a real browser over three real replicas: cut them, edit each, heal, and all agree."""
from __future__ import annotations

import os
import re
import signal
import sys

import pytest
from playwright.sync_api import expect

from tests.crdt.demos import NAMES, demo_up
from tests.proxies import Proxy
from tests.waiting import free_port, running, send_signal, wait_for

from .crdting import AGREE, opened

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with demo_up(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def own_demo(tmp_path):
    """One that the test may harm."""
    with demo_up(tmp_path) as demo:
        yield demo


@pytest.fixture
def view(demo, browser):
    """The page of a group that is whole and empty; it must not have complained in the end."""
    demo.clear()
    with opened(browser, demo.page) as view:
        view.expect_verdict(AGREE)
        yield view
        view.complaints.check()


def test_cut_edited_thrice_and_healed_all_hold_the_latest_write(view, demo):
    view.button("Cut all").click()
    for one, other in ("ab", "bc", "ac"):
        expect(view.link(one, other)).to_have_attribute("data-state", "cut")
    for name in NAMES:
        view.add("drink", f"tea of {name}", name)
    view.expect_verdict("a, b and c differ in 1 key.")
    for name in NAMES:
        expect(view.value("drink", name)).to_have_value(f"tea of {name}")
        expect(view.row("drink", name)).to_have_attribute("data-standing", "newest" if name == "c" else "behind")
        assert demo.items(name)["drink"] == f"tea of {name}"

    view.button("Heal all").click()
    view.expect_verdict(AGREE)
    view.expect_everywhere("drink", "tea of c")
    assert {demo.items(name)["drink"] for name in NAMES} == {"tea of c"}

    def fingerprints():
        return {view.column(name).locator(".fingerprint").get_attribute("title") for name in NAMES}

    wait_for(lambda: len(fingerprints()) == 1, "equal fingerprints")


def test_a_write_that_lost_stays_struck_through_beside_the_winners_stamp(view, demo):
    view.button("Cut all").click()
    for name in NAMES:
        expect(view.column(name).get_by_role("button", name=f"Connect {name} again")).to_be_visible()
        view.add("lost", f"by {name}", name)
    view.button("Heal all").click()
    view.expect_verdict(AGREE)
    winner = view.row("lost", "c").locator(".stamp [data-part=when]").text_content()
    for loser in ("a", "b"):
        lost = view.row("lost", loser).locator(".lost")
        expect(lost.locator("del")).to_contain_text(f"by {loser} ({loser})")
        expect(lost).to_contain_text(f"lost to {winner} c")
    expect(view.row("lost", "c").locator(".lost")).to_be_hidden()


def test_an_update_that_was_seen_is_no_loss(view, demo):
    view.add("calm", "one", "a")
    view.expect_everywhere("calm", "one")
    view.edit("calm", "two", "b")
    view.expect_everywhere("calm", "two")
    for name in NAMES:
        expect(view.row("calm", name).locator(".lost")).to_be_hidden()


def test_what_others_write_arrives_live(view, demo):
    demo.put("b", "live", 1)
    view.expect_everywhere("live", "1")
    demo.put("c", "live", {"a": [None, "b"]})
    view.expect_everywhere("live", '{"a":[null,"b"]}')
    demo.ask("a", "DELETE", "/kv/live")
    for name in NAMES:
        expect(view.value("live", name)).to_have_count(0)
    view.expect_verdict(AGREE)


def test_a_reload_shows_the_same(view, demo):
    view.add("kept", "here", "a")
    view.expect_everywhere("kept", "here")
    view.button("Cut the link between a and b").click()
    expect(view.link("a", "b")).to_have_attribute("data-state", "cut")
    view.page.reload()
    view.expect_everywhere("kept", "here")
    expect(view.link("a", "b")).to_have_attribute("data-state", "cut")
    expect(view.link("b", "c")).to_have_attribute("data-state", "up")


def test_one_cut_link_is_no_partition(view, demo):
    view.button("Cut the link between a and b").click()
    expect(view.link("a", "b")).to_have_attribute("data-state", "cut")
    view.add("relayed", "by c", "a")
    view.expect_everywhere("relayed", "by c")
    view.button("Heal the link between a and b").click()
    expect(view.link("a", "b")).to_have_attribute("data-state", "up")


def test_a_replica_cut_off_from_all_differs_alone(view, demo):
    view.button("Cut b off from all others").click()
    expect(view.link("a", "b")).to_have_attribute("data-state", "cut")
    expect(view.link("b", "c")).to_have_attribute("data-state", "cut")
    view.add("without b", "1", "a")
    view.expect_verdict("b differs from a and c in 1 key.")
    expect(view.value("without b", "b")).to_have_attribute("placeholder", "not here")
    view.button("Connect b again").click()
    view.expect_verdict(AGREE)
    view.expect_everywhere("without b", "1")


def test_trouble_is_made_and_ends_in_agreement(view, demo):
    view.page.evaluate("""() => {
        window.verdicts = [];
        const verdict = document.querySelector("#verdict");
        new MutationObserver(() => window.verdicts.push(verdict.textContent))
            .observe(verdict, {childList: true, characterData: true, subtree: true});
    }""")
    view.button("Make trouble").click()
    differ = "window.verdicts.includes('a, b and c differ in 1 key.')"
    wait_for(lambda: view.page.evaluate(differ), "them to differ")
    expect(view.page.locator("#story")).to_contain_text("4. All hold what ")
    view.expect_verdict(AGREE)
    expect(view.page.locator(".lost:visible").first).to_be_visible()
    assert len({demo.items(name)["drink"] for name in NAMES}) == 1
    expect(view.button("Make trouble")).to_be_enabled()


def test_removed_keys_are_shown_on_demand_with_their_stamp(view, demo):
    demo.put("a", "gone", 1)
    view.expect_everywhere("gone", "1")
    view.button("Remove gone at b").click()
    expect(view.row("gone", "a")).to_have_count(0)
    view.page.get_by_label("Removed keys").check()
    for name in NAMES:
        expect(view.row("gone", name)).to_have_attribute("data-presence", "removed")
        expect(view.row("gone", name).locator(".stamp .badge")).to_have_text("b")
    view.page.reload()
    view.page.get_by_label("Removed keys").check()
    expect(view.row("gone", "c")).to_have_attribute("data-presence", "removed")
    view.page.get_by_label("Removed keys").uncheck()
    expect(view.row("gone", "a")).to_have_count(0)


def test_the_stamp_itself_is_shown_on_hover_and_on_focus(view, demo):
    stamp = demo.put("a", "stamped", 1)
    view.expect_everywhere("stamped", "1")
    code = view.row("stamped", "b").locator(".hex")
    expect(code).to_be_hidden()
    view.row("stamped", "b").locator(".stamp").hover()
    expect(code).to_be_visible()
    expect(code).to_have_text(stamp)
    view.page.mouse.move(0, 0)
    expect(code).to_be_hidden()
    view.value("stamped", "b").focus()
    expect(code).to_be_visible()


def test_adding_a_key_that_is_there_says_so(view, demo):
    view.add("twice", "1", "a")
    view.expect_everywhere("twice", "1")
    column = view.column("a")
    column.get_by_label("New key").fill("twice")
    column.get_by_label("Its value").fill("2")
    column.get_by_role("button", name="Add").click()
    expect(column.get_by_role("alert")).to_contain_text("“twice” is here already")
    expect(column.get_by_label("New key")).to_have_value("twice")
    tops = {view.row("twice", name).bounding_box()["y"] for name in NAMES}
    assert len(tops) == 1, "a key is one line, also beside a column that says more"
    assert demo.items("a")["twice"] == 1


def test_what_somebody_types_is_not_taken_away_and_escape_gives_it_up(view, demo):
    view.add("busy", "1", "a")
    view.expect_everywhere("busy", "1")
    view.value("busy", "a").fill("mine")
    demo.put("b", "busy", 2)
    expect(view.value("busy", "c")).to_have_value("2")
    expect(view.value("busy", "a")).to_have_value("mine")
    view.value("busy", "a").press("Escape")
    expect(view.value("busy", "a")).to_have_value("2")


def test_a_refused_write_says_why_and_keeps_what_was_typed(view, demo):
    view.add("short", "1", "a")
    too_long = "x" * (1024 * 1024 + 1)
    view.value("short", "a").fill(too_long)
    view.complaints.said.clear()
    view.value("short", "a").press("Enter")
    expect(view.column("a").get_by_role("alert")).to_contain_text("a: answered 413")
    expect(view.row("short", "a")).to_have_attribute("data-dirty", "")
    expect(view.value("short", "a")).to_have_value(too_long)
    view.value("short", "a").press("Escape")
    expect(view.value("short", "a")).to_have_value("1")
    assert len(view.complaints.said) == 1        # the browser itself notes the 413
    view.complaints.said.clear()


def test_a_long_value_is_shown_by_its_beginning_and_not_edited(view, demo):
    demo.put("b", "long", "y" * 100_000)
    for name in NAMES:
        expect(view.value("long", name)).to_have_value("y" * 4096 + "…")
        assert not view.value("long", name).is_editable()
    demo.put("b", "long", "short again")
    view.expect_everywhere("long", "short again")
    assert view.value("long", "a").is_editable()


def test_the_focus_goes_on_beside_a_removed_row(view, demo):
    view.add("one", "1", "a")
    view.add("two", "2", "a")
    view.button("Remove one at a").click()
    expect(view.value("two", "a")).to_be_focused()
    expect(view.value("one", "a")).to_have_count(0)
    view.button("Remove two at a").click()
    expect(view.column("a").get_by_label("New key")).to_be_focused()


@pytest.mark.parametrize("key", [HOSTILE, "javascript:alert(1)", "..", "a/../b?c#d%41", "\u202eright to left", "ключ"])
def test_any_key_and_value_stay_text(view, demo, key):
    view.page.on("dialog", lambda dialog: pytest.fail(f"dialog {dialog.message}"))
    column = view.column("a")
    column.get_by_label("New key").fill(key)
    column.get_by_label("Its value").fill(key)
    column.get_by_role("button", name="Add").click()
    for name in NAMES:
        expect(view.column(name).locator(".key").get_by_text(key, exact=True)).to_be_visible()
        expect(view.value(key, name)).to_have_value(key)
    assert view.page.locator("main img, main script").count() == 0
    view.button(f"Remove {key} at c").click()
    expect(view.value(key, "a")).to_have_count(0)


def test_the_policy_stops_what_is_inline(demo, browser):
    with opened(browser, demo.page) as view:
        view.expect_verdict(AGREE)
        view.page.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const image = new Image();
            image.setAttribute("onerror", "window.ran = true");
            document.body.append(image);
            image.src = "data:,";
            document.body.setAttribute("style", "color: red");
        }""")
        wait_for(lambda: view.page.evaluate("window.violations.length") >= 3, "the browser's refusals")
        assert view.page.evaluate("window.ran") is None


def focused(locator):
    return locator.evaluate("(element) => element === document.activeElement")


def tab_to(view, locator):
    """Reach it by the keyboard alone; it must show that it has the focus."""
    for _ in range(300):
        if focused(locator):
            assert locator.evaluate("(element) => getComputedStyle(element).outlineStyle") != "none"
            return
        view.page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {locator}")


def test_everything_is_done_by_keyboard(view, demo):
    keyboard = view.page.keyboard
    tab_to(view, view.button("Cut all"))
    keyboard.press("Enter")
    expect(view.link("a", "b")).to_have_attribute("data-state", "cut")
    tab_to(view, view.column("a").get_by_label("New key"))
    keyboard.type("typed")
    keyboard.press("Tab")
    keyboard.type("once")
    keyboard.press("Enter")
    expect(view.value("typed", "a")).to_have_value("once")
    tab_to(view, view.value("typed", "b"))
    keyboard.type("twice")
    keyboard.press("Enter")
    expect(view.row("typed", "b")).to_have_attribute("data-standing", "newest")
    for one, other in ("ab", "ac", "bc"):
        tab_to(view, view.button(f"Heal the link between {one} and {other}"))
        keyboard.press("Space")
        expect(view.link(one, other)).not_to_have_attribute("data-state", "cut")
    view.expect_everywhere("typed", "twice")
    tab_to(view, view.button("Remove typed at c"))
    keyboard.press("Enter")
    tab_to(view, view.page.get_by_label("Removed keys"))
    keyboard.press("Space")
    expect(view.page.get_by_label("Removed keys")).to_be_checked()
    expect(view.row("typed", "a")).to_have_attribute("data-presence", "removed")


def test_the_verdict_is_announced(view, demo):
    status = view.page.locator("#verdict")
    assert status.get_attribute("role") == "status"
    expect(status).to_have_attribute("data-mood", "well")


@pytest.mark.parametrize("width", [360, 400, 800, 1280, 2000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_any_width(demo, browser, width, scheme):
    demo.heal()
    demo.put("a", "a rather long key that goes on and on without an end", "and a value that is no shorter" * 5)
    with opened(browser, demo.page, viewport={"width": width, "height": 700}, color_scheme=scheme,
                reduced_motion="reduce") as view:
        view.expect_verdict(AGREE)
        expect(view.column("c").locator(".row").first).to_be_visible()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        tops = {view.column(name).bounding_box()["y"] for name in NAMES}
        assert (len(tops) == 1) == (width >= 960)
        assert view.complaints.said == []


def test_dark_and_light_are_different_colours(demo, browser):
    papers = set()
    for scheme in ("light", "dark"):
        with opened(browser, demo.page, color_scheme=scheme) as view:
            papers.add(view.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2


def test_a_dead_replica_is_said_and_its_return_is_seen(own_demo, browser):
    with opened(browser, own_demo.page) as view:
        view.expect_verdict(AGREE)
        view.add("before", "1", "c")
        view.expect_everywhere("before", "1")
        pid = own_demo.pids()["c"]
        send_signal(pid, signal.SIGSTOP)            # silent: neither does it answer, nor is it restarted
        try:
            view.expect_verdict(re.compile("c does not answer; a and b agree"))
            expect(view.column("c")).to_have_attribute("data-state", "silent")
            view.add("meanwhile", "2", "a")
            expect(view.value("meanwhile", "b")).to_have_value("2")
        finally:
            os.kill(pid, signal.SIGKILL)
        own_demo.process.wait_for_output(r"demo: c is back")
        view.expect_verdict(AGREE)
        view.expect_everywhere("meanwhile", "2")
        view.expect_everywhere("before", "1")
        demo_items = own_demo.items("c")
        assert demo_items == {"before": 1, "meanwhile": 2}


def test_a_forgotten_member_leaves_the_page(own_demo, browser):
    with opened(browser, own_demo.page) as view:
        view.expect_verdict(AGREE)
        # `b` hears of it from `a`: whoever told both might be too late for the second.
        own_demo.ask("a", "DELETE", "/members/c")
        view.expect_verdict("Both agree.")
        expect(view.column("c")).to_have_count(0)
        expect(view.link("a", "c")).to_have_count(0)
        view.add("without c", "1", "a")
        expect(view.value("without c", "b")).to_have_value("1")


def test_the_page_works_behind_a_prefix(demo, browser):
    """Of the others it sees nothing there: they answer pages of their members' addresses alone."""
    demo.heal()
    demo.put("a", "prefixed", "yes")
    server = demo.urls["a"].removeprefix("http://")
    with Proxy({
        "upstreams": {"a": {"servers": [server]}},
        "routes": [{"match": {"prefix": "/crdt/"}, "strip_prefix": "/crdt", "upstream": "a"}],
    }) as proxy, opened(browser, f"http://{proxy.address}/crdt/") as view:
        expect(view.value("prefixed", "a")).to_have_value("yes")
        view.add("through the proxy", "1", "a")
        assert demo.items("a")["through the proxy"] == 1


def serving(name, ports, folder):
    """A replica without `--drill`."""
    peers = [f"--peer={other}=http://127.0.0.1:{port}" for other, port in ports.items() if other != name]
    return running([sys.executable, "-P", "-m", "hotpath.crdt", "serve", "--replica", name,
                    "--listen", f"127.0.0.1:{ports[name]}", "--data", str(folder / name), *peers])


def test_without_drill_the_page_says_why_nothing_is_cut(tmp_path, browser):
    ports = {"a": free_port(), "b": free_port()}
    with serving("a", ports, tmp_path) as a, serving("b", ports, tmp_path) as b:
        for process in (a, b):
            process.wait_for_output("ready: ")
        with opened(browser, f"http://127.0.0.1:{ports['a']}/") as view:
            view.expect_verdict("Both agree.")
            view.button("Cut all").click()
            expect(view.page.locator("#no-drill")).to_be_visible()
            for name in ("Make trouble", "Cut all", "Heal all", "Cut the link between a and b"):
                expect(view.button(name)).to_be_disabled()
            view.add("still", "written", "a")
            expect(view.value("still", "b")).to_have_value("written")
