"""The page of a chat in a real browser: two people on two gateways talk, read, find and leave."""
from __future__ import annotations

import re

from playwright.sync_api import expect

from .chatting import View, some_name

HOSTILE = "<img src=x onerror=alert(1)><script>document.title='pwned'</script> '; DROP TABLE messages; --"


# ---- accounts

def test_an_account_is_made_a_channel_started_and_a_reload_keeps_both(home, browser):
    context = browser.new_context()
    try:
        view = View(home, context.new_page())
        view.page.goto(home.url)
        name = some_name()
        view.log_in(name, "Create account")
        view.button("New channel").click()
        channel = some_name("n")
        view.page.get_by_label("Channel name").fill(channel)
        view.button("Create").click()
        expect(view.page).to_have_url(re.compile(r"/c/\d+$"))
        expect(view.link(channel)).to_have_attribute("aria-current", "page")
        view.say("the first word")
        expect(view.sent("the first word")).to_be_visible()
        view.page.reload()
        expect(view.sent("the first word")).to_be_visible()
        expect(view.link(channel)).to_have_attribute("aria-current", "page")
        assert view.complaints.said == []
    finally:
        context.close()


def test_a_wrong_password_and_a_taken_name_are_said(home, browser, pair):
    context = browser.new_context()
    try:
        view = View(home, context.new_page())
        view.page.goto(home.url)
        view.page.get_by_label("Name").fill(pair.ann.name)
        view.page.get_by_label("Password").fill("not the password")
        view.button("Log in").click()
        expect(view.page.get_by_role("alert")).to_contain_text("No account has this name and password")
        view.button("Create account").click()
        expect(view.page.get_by_role("alert")).to_contain_text("taken")
    finally:
        context.close()


def test_logging_out_ends_the_other_tab_too(pair):
    context = pair.context(pair.ann)
    one, other = pair.view(pair.ann, context), pair.view(pair.ann, context)
    one.page.get_by_role("button", name="Account").click()
    one.button("Log out").click()
    for view in (one, other):
        expect(view.page.get_by_label("Password")).to_be_visible()


# ---- talking

def test_two_people_talk_over_two_gateways(both):
    ann, ben = both
    ann.say("hello from ann")
    expect(ben.sent("hello from ann")).to_be_visible()
    ben.box.fill("hello\nfrom ben")
    ben.button("Send").click()
    expect(ann.sent("from ben")).to_be_visible()
    for view in both:
        expect(view.log.locator("[data-state]")).to_have_count(0)
        expect(view.row("hello from ann")).to_have_count(1)


def test_shift_enter_breaks_the_line_and_nothing_is_sent(both, pair):
    ann, _ = both
    ann.box.press_sequentially("one")
    ann.box.press("Shift+Enter")
    ann.box.press_sequentially("two")
    expect(ann.box).to_have_value("one\ntwo")
    assert pair.texts() == []


def test_markup_and_sql_in_a_text_are_text(both):
    ann, _ = both
    ann.say(HOSTILE)
    for view in both:
        expect(view.sent("DROP TABLE").locator(".text")).to_have_text(HOSTILE)
        assert view.page.locator("[role=log] img, [role=log] script").count() == 0
        assert "pwned" not in view.page.title()


def test_links_code_and_names_are_shown_as_such(both, pair):
    ann, ben = both
    ann.say(f"see https://a.example/x_(y). and `code` @{pair.ben.name} javascript:alert(1)")
    row = ben.sent("see https")
    expect(row.locator("a")).to_have_attribute("href", "https://a.example/x_(y)")
    expect(row.locator("a")).to_have_count(1)
    expect(row.locator("code")).to_have_text("code")
    expect(row.locator(".mention.me")).to_have_text(f"@{pair.ben.name}")


def test_an_edit_and_a_deletion_reach_the_other(both):
    ann, ben = both
    ann.say("tpyo")
    expect(ben.sent("tpyo")).to_be_visible()
    ann.box.press("ArrowUp")
    editor = ann.page.get_by_label("Edited text")
    expect(editor).to_have_value("tpyo")
    editor.fill("typo")
    editor.press("Enter")
    expect(ben.sent("typo")).to_contain_text("(edited)")
    ann.act("typo", "Delete")
    ann.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(ben.row("This was deleted.")).to_be_visible()
    expect(ben.row("typo")).to_have_count(0)


def test_a_reaction_is_given_seen_and_taken_back(both, pair):
    ann, ben = both
    pair.say(pair.ben, "react to this")
    ann.act("react to this", "React")
    ann.page.get_by_role("group", name="Emoji").get_by_role("button", name="🎉").click()
    given = ben.row("react to this").locator(".reaction")
    expect(given).to_have_text("🎉 1")
    expect(given).to_have_attribute("aria-pressed", "false")
    given.click()
    expect(ann.row("react to this").locator(".reaction")).to_have_text("🎉 2")
    ann.row("react to this").locator(".reaction").click()
    expect(given).to_have_text("🎉 1")


def test_a_thread_is_beside_the_conversation(both, pair):
    ann, ben = both
    pair.say(pair.ann, "what about lunch?")
    ben.act("what about lunch?", "Reply in thread")
    ben.page.get_by_label("Reply in this thread").fill("yes")
    ben.button("Reply").click()
    expect(ann.row("what about lunch?").get_by_role("button", name="1 reply")).to_be_visible()
    ann.row("what about lunch?").get_by_role("button", name="1 reply").click()
    pane = ann.page.get_by_role("complementary", name="Thread")
    expect(pane.locator("[data-seq]").filter(has_text="yes")).to_be_visible()
    ann.page.get_by_label("Reply in this thread").fill("when?")
    ann.page.keyboard.press("Enter")
    beside = ben.page.get_by_role("complementary", name="Thread")
    expect(beside.locator("[data-seq]").filter(has_text="when?")).to_be_visible()
    expect(ann.log.locator("[data-seq]").filter(has_text="when?")).to_have_count(0)
    ann.page.keyboard.press("Escape")
    expect(pane).to_be_hidden()


def test_typing_is_seen_until_it_is_said(both, pair):
    ann, ben = both
    ann.box.press_sequentially("I am writ")
    expect(ben.page.get_by_text(f"{pair.ann.name} is writing…")).to_be_visible()
    ann.say("done")
    expect(ben.page.get_by_text("is writing…")).to_have_count(0)


def test_a_name_is_completed(both, pair):
    ann, _ = both
    ann.box.press_sequentially(f"hi @{pair.ben.name[:6]}")
    option = ann.page.get_by_role("option", name=f"@{pair.ben.name}")
    expect(option).to_be_visible()
    ann.box.press("Tab")
    expect(ann.box).to_have_value(f"hi @{pair.ben.name} ")


def test_a_draft_stays_over_channels_and_reload(both, pair):
    ann, _ = both
    other = some_name("o")
    pair.make(other)
    ann.box.fill("half a thou")
    ann.open(other)
    expect(ann.box).to_have_value("")
    ann.page.reload()
    ann.open(pair.name)
    expect(ann.box).to_have_value("half a thou")


# ---- unread

def test_unread_counts_rise_and_fall_in_all_tabs(pair):
    other = pair.make(some_name("u"))
    context = pair.context(pair.ann)
    one = pair.view(pair.ann, context, path=f"/c/{other}")
    two = pair.view(pair.ann, context, path=f"/c/{other}")
    pair.say(pair.ben, "one")
    pair.say(pair.ben, f"two for @{pair.ann.name}")
    for view in (one, two):
        expect(view.badge(pair.name)).to_have_attribute("data-unread", "2")
        expect(view.badge(pair.name)).to_have_attribute("data-mentions", "1")
    expect(one.page).to_have_title(re.compile(r"^\(1\) "))
    one.open(pair.name)
    for view in (one, two):
        expect(view.badge(pair.name)).to_have_count(0)
    expect(one.page).to_have_title(re.compile(r"^c\w+ · chat"))
    # From the first on, unread again; in both tabs, and as the server counts.
    one.act("one", "Mark unread from here")
    for view in (one, two):
        expect(view.badge(pair.name)).to_have_attribute("data-unread", "2")
    expect(one.row("one").locator(".fresh")).to_be_visible()
    mine = pair.ann.ask("GET", "/api/channels?scope=mine").json["channels"]
    assert next(each["member"]["unread"] for each in mine if each["id"] == pair.channel) == 2


def test_a_direct_conversation_calls_with_each_message(both, pair):
    ann, ben = both
    ben.button("New conversation").click()
    ben.page.get_by_label("With whom?").fill(pair.ann.name)
    ben.page.get_by_role("dialog").get_by_role("checkbox").first.check()
    ben.button("Open").click()
    expect(ben.page.get_by_role("heading", level=1)).to_have_text(pair.ann.name)
    ben.say("psst")
    expect(ann.badge(pair.ben.name)).to_have_attribute("data-unread", "1")
    ann.open(pair.ben.name)
    expect(ann.sent("psst")).to_be_visible()
    expect(ann.link(pair.ben.name)).to_contain_text("online")


# ---- places

def test_a_public_channel_is_found_and_joined(pair):
    name = some_name("pub")
    pair.ben.ask("POST", "/api/channels", {"name": name, "kind": "public"})
    ann = pair.view(pair.ann)
    ann.button("Browse channels").click()
    ann.page.get_by_label("Filter").fill(name)
    ann.button(f"Join {name}").click()
    expect(ann.page.get_by_role("heading", level=1)).to_have_text(name)
    ann.say("I am in")
    expect(ann.sent("I am in")).to_be_visible()


def test_a_channel_one_is_not_in_says_so(pair):
    public = pair.ben.ask("POST", "/api/channels", {"name": some_name("x"), "kind": "public"}).json
    secret = pair.ben.ask("POST", "/api/channels", {"name": some_name("y"), "kind": "private"}).json
    ann = pair.view(pair.ann, path=f"/c/{secret['id']}")
    expect(ann.page.get_by_text("There is no such channel, or it is private")).to_be_visible()
    ann.page.goto(f"{pair.home.url}/c/{public['id']}")
    ann.button(f"Join {public['name']}").click()
    expect(ann.box).to_be_enabled()


def test_who_is_asked_out_sees_nothing_more(both, pair):
    ann, ben = both
    ben.say("still here")
    expect(ann.sent("still here")).to_be_visible()
    assert pair.ann.ask("DELETE", f"/api/channels/{pair.channel}/members/{pair.ben.id}").status == 204
    expect(ben.link(pair.name)).to_have_count(0)
    expect(ben.button(f"Join {pair.name}")).to_be_visible()
    pair.say(pair.ann, "behind his back")
    expect(ann.sent("behind his back")).to_be_visible()
    assert ben.page.get_by_text("behind his back").count() == 0


def test_search_finds_and_goes_there(both, pair):
    ann, _ = both
    pair.say(pair.ben, "the needle in here")
    for i in range(80):
        pair.say(pair.ben, f"hay {i}")
    ann.button("Search").click()
    ann.page.get_by_label("Search for").fill("needle")
    ann.page.get_by_role("complementary", name="Search").get_by_role("button", name=re.compile("needle")).click()
    expect(ann.sent("the needle in here")).to_be_in_viewport()
    ann.button("Latest").click()
    expect(ann.sent("hay 79")).to_be_in_viewport()


def test_keys_lead_from_channel_to_channel(both, pair):
    ann, _ = both
    other = some_name("z")
    pair.make(other)
    expect(ann.link(other)).to_be_visible()
    ann.page.keyboard.press("Alt+ArrowDown")
    expect(ann.page.get_by_role("heading", level=1)).to_have_text(other)
    ann.page.keyboard.press("Control+k")
    ann.page.get_by_role("combobox", name="Jump to").fill(pair.name)
    ann.page.keyboard.press("Enter")
    expect(ann.page.get_by_role("heading", level=1)).to_have_text(pair.name)
