"""Two people edit one item by hand, and a counter is raised by many requests at once."""
from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect


class Person:
    """One of the two panes."""

    def __init__(self, view, name, path):
        self.path = path
        self.pane = view.person(name)
        self.answer = self.pane.get_by_role("status")
        self.wire = self.pane.locator(".wire li").first

    def button(self, name):
        return self.pane.get_by_role("button", name=name, exact=True)

    def save(self, text):
        self.pane.get_by_label("Text").fill(text)
        self.button("Save").click()


def item_made(view):
    """The path of a new item, which both open."""
    with view.page.expect_response(lambda answer: answer.request.method == "POST") as made:
        view.button("Make an item").click()
    return f"items/{made.value.json()['id']}"


def people_with(view, path):
    people = Person(view, "Ann", path), Person(view, "Ben", path)
    for person in people:
        expect(person.wire.locator(".asked")).to_have_text(f"GET /{path}")
        expect(person.answer).to_have_text("Read: this is version 1.")
    return people


@pytest.fixture
def two(view):
    """Ann and Ben, each with the first version of an item."""
    return people_with(view, item_made(view))


def test_at_first_there_is_no_item(view):
    view.page.route("**/items", lambda route: route.fulfill(json={"items": []}))
    view.page.reload()
    expect(view.page.locator("#no-items")).to_be_visible()
    expect(view.page.locator("#panes")).to_be_hidden()


def test_an_older_copy_is_refused_with_412_and_nothing_is_overwritten(view, two):
    ann, ben = two
    ann.save("Curry")
    expect(ann.answer).to_have_text("Saved as version 2.")
    expect(ann.wire).to_contain_text(re.compile(r'If-Match: "v1".*200 OK.*ETag: "v2"', re.DOTALL))
    ben.save("Pizza")
    expect(ben.answer).to_contain_text("you edited version 1, but version 2 is there by now")
    expect(ben.answer).to_contain_text("“Lunch on Friday: Curry”")
    expect(ben.wire).to_contain_text("412 Precondition Failed")
    expect(ben.pane.get_by_label("Text")).to_have_value("Pizza")

    ben.button("Save mine over it").click()
    expect(ben.answer).to_have_text("Saved as version 3.")
    expect(ben.button("Save mine over it")).to_be_hidden()
    ann.button("Read again").click()
    expect(ann.pane.get_by_label("Text")).to_have_value("Pizza")


def test_while_one_holds_the_lock_the_other_is_refused_with_423(view, two):
    ann, ben = two
    ann.button("Take the lock").click()
    expect(ann.pane).to_contain_text("holds the lock for")
    ben.save("Pizza")
    expect(ben.answer).to_contain_text("Refused: Ann holds the lock. Try again in")
    expect(ben.wire).to_contain_text(re.compile(r"423 Locked.*Retry-After: \d+", re.DOTALL))
    ben.button("Take the lock").click()
    expect(ben.answer).to_contain_text("Refused: Ann holds the lock.")

    ann.save("Curry")
    expect(ann.answer).to_have_text("Saved as version 2.")
    expect(ann.wire).to_contain_text("Lock-Token: ")
    ann.button("Keep it longer").click()
    expect(ann.answer).to_contain_text("for another 30 seconds")
    ann.button("Release the lock").click()
    expect(ann.answer).to_have_text("The lock is free again.")
    expect(ann.button("Take the lock")).to_be_visible()
    ben.button("Take the lock").click()
    expect(ben.pane).to_contain_text("holds the lock for")


def test_a_lock_that_another_took_meanwhile_protects_nothing_more(view, two, address):
    ann, _ = two
    ann.button("Take the lock").click()
    expect(ann.pane).to_contain_text("holds the lock for")
    token = re.search(r"Lock-Token: (\d+)", ann.wire.inner_text())
    assert token is not None
    # As if its time had been up: it is let go behind the page's back.
    released = view.page.request.delete(f"http://{address}/{ann.path}/lock", headers={"Lock-Token": token[1]})
    assert released.status == 204
    ann.save("Curry")
    expect(ann.answer).to_contain_text("Refused: your lock is no longer valid")
    expect(ann.button("Take the lock")).to_be_visible()


def test_an_item_that_is_gone_is_said_to_be(view, two, address):
    ann, _ = two
    assert view.page.request.delete(f"http://{address}/{ann.path}", headers={"If-Match": "*"}).status == 204
    ann.button("Read again").click()
    expect(ann.answer).to_have_text("This item is gone.")


def test_both_open_the_item_that_is_picked(view, two):
    ann, ben = two
    other = people_with(view, item_made(view))[0]
    assert other.path != ann.path
    view.page.get_by_role("combobox", name="Item", exact=True).select_option(ann.path.removeprefix("items/"))
    for person in (ann, ben):
        expect(person.wire.locator(".asked")).to_have_text(f"GET /{ann.path}")


@pytest.mark.parametrize("policy", ["optimistic", "atomic"])
def test_what_is_acknowledged_is_counted(view, policy):
    view.page.get_by_role("combobox", name="Policy", exact=True).select_option(policy)
    view.button("Add 20 at once").click()
    expect(view.page.locator("#counter-said")).to_have_text("20 acknowledged, 20 counted. The counter is at 20.")
    view.button("Add one").click()
    expect(view.page.locator("#counter-said")).to_have_text("1 acknowledged, 1 counted. The counter is at 21.")
    expect(view.page.locator("#bursts tr")).to_have_count(2)


def test_what_is_acknowledged_but_not_counted_is_called_lost(view):
    view.page.route("**/increment?policy=naive", lambda route: route.fulfill(json={"value": 1, "attempts": 1}))
    view.page.get_by_role("combobox", name="Policy", exact=True).select_option("naive")
    view.button("Add 20 at once").click()
    expect(view.page.locator("#counter-said")).to_have_text(
        "20 were acknowledged, but the counter rose by 0: 20 lost.")
    expect(view.page.locator("#bursts tr").first).to_have_attribute("data-mood", "unwell")


def test_what_was_refused_is_not_called_lost(view):
    view.page.route("**/increment?*", lambda route: route.fulfill(status=503, json={"detail": "all tries conflicted"}))
    view.button("Add one").click()
    expect(view.page.locator("#counter-said")).to_have_text(
        "0 acknowledged, 0 counted. The counter is at 0. 1 of 1 got no answer or were told to come again "
        "(the server answered 503: all tries conflicted).")
