"""The page of a chat when things go wrong: no network, lost answers, refusals, killed gateways, lines that lie."""
from __future__ import annotations

import json
import re
import signal
from contextlib import suppress

import pytest
from playwright.sync_api import Error, expect

from hotpath.chat.config import ChatConfig
from hotpath.chat.store import Database, PostMessage, Writer
from hotpath.chat.store.transaction import wall_clock_ms
from tests.waiting import wait_for

from .chatting import Pair, real_house


def test_offline_it_stays_pending_survives_a_reload_and_is_sent_once(pair):
    context = pair.context(pair.ann)
    ann = pair.view(pair.ann, context)
    context.set_offline(True)
    ann.expect_connection("offline")
    ann.say("written in a tunnel")
    ann.say("and another")
    expect(ann.log.locator("[data-state=pending]")).to_have_count(2)
    pair.say(pair.ben, "meanwhile")
    context.set_offline(False)
    ann.expect_connection("live")
    for text in ("written in a tunnel", "and another", "meanwhile"):
        expect(ann.sent(text)).to_have_count(1)
    assert sorted(pair.texts()) == ["and another", "meanwhile", "written in a tunnel"]
    assert pair.texts().index("written in a tunnel") < pair.texts().index("and another")


def test_pending_ones_survive_a_reload(pair):
    context = pair.context(pair.ann)
    context.route("**/messages", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    ann = pair.view(pair.ann, context)
    ann.say("not yet")
    expect(ann.log.locator("[data-state=pending]")).to_have_text(re.compile("not yet"))
    ann.page.reload()
    expect(ann.log.locator("[data-state=pending]")).to_have_text(re.compile("not yet"))
    context.unroute("**/messages")
    expect(ann.sent("not yet")).to_have_count(1)
    assert pair.texts() == ["not yet"]


def test_an_answer_that_is_lost_doubles_nothing(pair):
    context = pair.context(pair.ann)
    lost = []

    def lose_first(route):
        if route.request.method == "POST" and not lost:
            lost.append(json.loads(route.request.post_data))
            route.fetch()
            route.abort()
        else:
            route.continue_()

    context.route("**/messages", lose_first)
    ann = pair.view(pair.ann, context)
    ann.say("said once")
    expect(ann.sent("said once")).to_have_count(1)
    ann.page.reload()
    expect(ann.sent("said once")).to_have_count(1)
    assert [each["client_msg_id"] for each in pair.messages()] == [lost[0]["client_msg_id"]]


def test_a_refusal_is_shown_and_tried_again_by_hand(pair):
    context = pair.context(pair.ann)
    ids = []

    def refuse_first(route):
        if route.request.method == "POST":
            ids.append(json.loads(route.request.post_data)["client_msg_id"])
        if len(ids) == 1 and route.request.method == "POST":
            route.fulfill(status=403, content_type="application/problem+json",
                          body=json.dumps({"title": "Forbidden", "status": 403, "detail": "not today"}))
        else:
            route.continue_()

    context.route("**/messages", refuse_first)
    ann = pair.view(pair.ann, context)
    ann.say("please")
    failed = ann.log.locator("[data-state=failed]")
    expect(failed).to_contain_text("not today")
    ann.page.reload()
    failed.get_by_role("button", name="Retry").click()
    expect(ann.sent("please")).to_have_count(1)
    assert len(set(ids)) == 1
    assert pair.texts() == ["please"]


def test_a_text_that_is_too_long_fails_with_the_reason_and_can_be_rewritten(both):
    ann, _ = both
    ann.say("x" * 8001)
    failed = ann.log.locator("[data-state=failed]")
    expect(failed).to_contain_text("8000")
    failed.get_by_role("button", name="Rewrite").click()
    expect(failed).to_have_count(0)
    expect(ann.box).to_have_value("x" * 8001)


def test_a_killed_gateway_is_left_for_another_and_nothing_is_missing(both, pair, home):
    ann, ben = both
    name = next(row["id"] for row in home.run["gateways"] if row["url"] == ben.line)
    old = home.signal(name, signal.SIGSTOP)         # so that nobody answers the line at once
    pair.say(pair.ann, "while the gateway is dying")
    home.kill(name)
    for i in range(5):
        pair.say(pair.ann, f"after {i}")
    ben.expect_connection("live")
    for view in both:
        expect(view.sent("while the gateway is dying")).to_have_count(1)
        for i in range(5):
            expect(view.sent(f"after {i}")).to_have_count(1)
    ben.say("still with you")
    expect(ann.sent("still with you")).to_have_count(1)
    home.back(name, old)


def losing(page, *names):
    """The first answer of each of these files is lost."""
    left = set(names)

    def lose(route):
        name = route.request.url.rpartition("/")[2]
        if name in left:
            left.remove(name)
            route.abort("connectionfailed")
        else:
            route.fallback()

    page.route(re.compile(r"\.(js|css)$"), lose)
    return left


def test_a_page_of_which_not_all_came_is_loaded_again_until_it_has(pair):
    lost = []
    pair.view(pair.ann, before=lambda page: lost.append(losing(page, "main.js", "rows.css", "room.js")))
    assert lost == [set()]


def test_a_page_of_which_nothing_came_can_be_asked_for_again(pair):
    page = pair.context(pair.ann).new_page()
    losing(page, "early.js", "main.js", "app.css")
    page.goto(pair.home.url)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("status")).to_have_attribute("data-connection", "live")


def test_without_any_gateway_the_banner_says_so_and_talk_goes_on_later(tmp_path, browser):
    with real_house(tmp_path, {"gateways": {"count": 1}}) as home:
        pair = Pair(home, browser)
        ann = pair.view(pair.ann)
        ann.watch_connection()
        home.signal("g1", signal.SIGKILL)

        def was_lost():
            """Though it may be live again: where its policy does not name the new gateway, the page is loaded anew."""
            with suppress(Error):       # just now
                return ann.page.evaluate("(window.states ?? ['reloaded']).some((state) => state !== 'live')")

        wait_for(was_lost, "the banner to say so")
        ann.say("sent over HTTP all the same")
        expect(ann.sent("sent over HTTP all the same")).to_have_count(1)
        ann.expect_connection("live")
        pair.say(pair.ben, "back again")
        expect(ann.sent("back again")).to_have_count(1)
        pair.close()


def test_a_gateway_that_is_drained_is_left_without_a_word(tmp_path, browser):
    with real_house(tmp_path, {"gateways": {"drain": "1s"}}) as home:
        pair = Pair(home, browser)              # the first account of all: Ann may do this
        ann = pair.view(pair.ann)
        ann.watch_connection()
        old = next(row for row in home.run["gateways"] if row["url"] == ann.line)
        assert pair.ann.ask("POST", f"/api/gateways/{old['id']}/drain").status == 202
        for i in range(10):
            pair.say(pair.ben, f"while it drains {i}")
        home.back(old["id"], old["pid"])
        pair.say(pair.ben, "and after it")
        expect(ann.sent("and after it")).to_have_count(1)
        for i in range(10):
            expect(ann.sent(f"while it drains {i}")).to_have_count(1)
        assert len({url.partition("?")[0] for url in ann.asked if url.startswith("ws")}) == 2
        assert "offline" not in ann.page.evaluate("window.states")
        pair.close()


def test_a_line_that_drops_doubles_and_swaps_shows_each_message_once(pair):
    def unruly(page):
        def through(route):
            server = route.connect_to_server()
            count, held = [0], []

            def pass_on(message):
                if '"type":"event"' not in message.replace(" ", ""):
                    route.send(message)
                    return
                count[0] += 1
                if count[0] % 5 == 2:
                    return                              # lost
                if count[0] % 7 == 3:
                    held.append(message)                # late
                    return
                route.send(message)
                if count[0] % 3 == 0:
                    route.send(message)                 # twice
                while held:
                    route.send(held.pop())

            server.on_message(pass_on)
            route.on_message(server.send)

        page.route_web_socket(re.compile("/ws"), through)

    ann = pair.view(pair.ann, before=unruly)
    for i in range(40):
        pair.say(pair.ben, f"number {i:02}")
    expect(ann.sent("number 39")).to_have_count(1)
    texts = ann.log.locator("[data-seq] .text").all_text_contents()
    assert [text for text in texts if text.startswith("number")] == [f"number {i:02}" for i in range(40)]


@pytest.mark.timeout(500)
def test_ten_thousand_messages_are_scrolled_with_few_rows(pair, home):
    # Into the same database, as the API would, 10,000 at once.
    database = Database.open(ChatConfig(data=str(home.data)), create=False)
    writer = Writer(database, publish=lambda what: None, wall_ms=wall_clock_ms)
    writer.start()
    done = []
    try:
        for i in range(10_000):
            wait_for(lambda n=i: len(done) > n - 500, "the writer to come along")
            writer.submit(PostMessage(pair.ben.id, pair.channel, f"m{i}", f"line {i:05}", None), done.append)
        wait_for(lambda: len(done) == 10_000, "all to be written")
    finally:
        writer.stop()
        database.close()
    assert not [answer for answer in done if isinstance(answer, BaseException)]

    ann = pair.view(pair.ann)
    expect(ann.sent("line 09999")).to_be_in_viewport()
    most, seen = 0, set()
    texts = "[...document.querySelectorAll('[role=log] [data-seq] .text')].map((row) => row.textContent)"

    def look():
        nonlocal most
        shown = ann.page.evaluate(texts)
        most = max(most, len(shown))
        assert shown == sorted(shown), "in order, whatever comes and goes"
        numbers = [int(text[5:]) for text in shown]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "without a hole"
        seen.update(numbers)
        return numbers[0]

    def at_the_first():
        ann.page.evaluate("document.querySelector('[role=log]').scrollTop = 0")
        return look() == 0

    wait_for(at_the_first, "the first message", within_s=240)
    assert len(seen) == 10_000
    assert most <= 500
    # Where one reads stays where it is while others write.
    place = "document.querySelector('[role=log] [data-seq]').getBoundingClientRect().top"
    ann.page.evaluate("document.querySelector('[role=log]').scrollTop = 300")
    before = ann.page.evaluate(place)
    pair.say(pair.ben, "line 10000")
    expect(ann.button("1 new")).to_be_visible()
    assert ann.page.evaluate(place) == before
    ann.button("1 new").click()
    expect(ann.sent("line 10000")).to_be_in_viewport()
    assert ann.page.locator("[role=log] [data-seq]").count() <= 500
