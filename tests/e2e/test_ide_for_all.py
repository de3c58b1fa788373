"""The ide's pages for everybody: with a screen reader, on a phone, in light and dark; small; and with hostile names."""
from __future__ import annotations

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.ide.paths import public_folder
from tests.ide.servers import serving, written
from tests.waiting import wait_for

from .ideing import Desk

PHONE = {"width": 390, "height": 780}
MAX_SCRIPT = 250_000
HOSTILE = [
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>.py", "javascript:alert(1)", "\"'><svg onload=alert(1)>",
    "${alert(1)}", "{{constructor.constructor('alert(1)')()}}", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "..%2f..%2fetc",
    "a&lt;b&amp;.md", "\u202egnp.exe", "#?+%.txt"]
TEMPLATES = {"bare": {"title": "Bare", "image": "none", "run": "sleep 0.1; echo ran",
                      "files": {"a.py": "import os\n# a word\nprint('two', 2)\n", "sub/b.md": "# b\n"}}}


@pytest.fixture(scope="module")
def ide():
    with public_folder() as folder, serving(written(folder, templates=TEMPLATES)) as ide:
        ide.folder = folder
        yield ide


@pytest.fixture
def desk_of(ide, browser):
    desks = []

    def desk(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        desks.append(Desk(ide, context.new_page()))
        return desks[-1]

    yield desk
    for each in desks:
        each.finish()
        each.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(desk_of, scheme):
    desk = desk_of(color_scheme=scheme, reduced_motion="reduce")
    axe = Axe()

    def check(where):
        found = axe.run(desk.page)["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], where

    project = desk.ide.create(f"axe {scheme}", "bare")
    desk.home()
    expect(desk.projects.get_by_role("link").first).to_be_visible()
    check("home")
    desk.button("New project").click()
    expect(desk.page.get_by_role("dialog")).to_be_visible()
    check("new project")
    desk.page.keyboard.press("Escape")
    desk.button(f"Actions for axe {scheme}").click()
    check("a project's menu")
    desk.open(project)
    check("nothing open")
    desk.item("a.py").click()
    expect(desk.editor("a.py")).to_contain_text("two")
    wait_for(lambda: desk.page.locator(".tok-keyword").count(), "colours")
    desk.button("Run").click()
    desk.shows("run", "ran")
    expect(desk.page.get_by_text("exited with 0 after")).to_be_visible()
    check("editor and terminal")
    desk.item("a.py").click(button="right")
    check("menu of the tree")
    desk.page.keyboard.press("Escape")
    desk.page.keyboard.press("F1")
    check("palette")
    desk.page.keyboard.press("Escape")
    desk.page.keyboard.press("Control+Shift+f")
    expect(desk.page.get_by_role("searchbox", name="Search for")).to_be_focused()
    desk.page.keyboard.type("word")
    expect(desk.page.get_by_text("1 match in 1 file")).to_be_visible()
    check("search")
    for panel in ("Packages", "Backups"):
        desk.page.get_by_role("navigation").get_by_role("button", name=panel).click()
        expect(desk.page.get_by_role("heading", name=panel)).to_be_visible()
        check(panel)
    desk.page.get_by_role("navigation").get_by_role("button", name="Preview").click()
    expect(desk.page.get_by_text("Nothing listens yet.")).to_be_visible()
    check("preview")
    desk.editor("a.py").click()
    desk.page.keyboard.press("Control+f")
    expect(desk.page.get_by_placeholder("Find")).to_be_visible()
    check("find")
    desk.page.keyboard.press("Escape")
    desk.write("a.py", "other = 1\n")
    desk.saved()
    desk.page.keyboard.press("F1")
    desk.page.keyboard.type("history of this")
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("textbox", name="Now")).to_be_visible()
    check("history")
    desk.page.keyboard.press("Escape")
    desk.button("More").click()
    desk.page.get_by_role("menuitem", name="Keyboard shortcuts").click()
    expect(desk.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    check("shortcuts")
    desk.page.keyboard.press("Escape")


def test_colours_are_chosen_and_kept(desk_of):
    desk = desk_of(color_scheme="light")
    desk.home()

    def ground():
        return desk.page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    desk.button("Theme").click()            # light, as the system
    assert ground() == light
    desk.button("Theme").click()
    assert ground() != light
    desk.page.reload()
    expect(desk.button("Theme")).to_be_visible()
    assert ground() != light
    desk.button("Theme").click()
    assert ground() == light


def test_a_phone_shows_one_pane_at_a_time(desk_of):
    desk = desk_of(viewport=PHONE, has_touch=True)
    project = desk.ide.create("phone", "bare")
    desk.home()
    expect(desk.projects.get_by_role("link", name="phone")).to_be_visible()
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    desk.projects.get_by_role("link", name="phone").click()
    panes = desk.page.get_by_role("navigation", name="Panels")
    panes.get_by_role("button", name="Files").click()
    desk.item("a.py").click()
    expect(desk.editor("a.py")).to_be_visible()
    expect(desk.tree).to_be_hidden()
    panes.get_by_role("button", name="Terminal").click()
    expect(desk.editor("a.py")).to_be_hidden()
    expect(desk.button("New terminal")).to_be_in_viewport()
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panes.get_by_role("button", name="Files").click()
    expect(desk.item("a.py")).to_be_visible()
    assert desk.id == project["id"]


def test_hostile_names_are_names(desk_of):
    desk = desk_of()
    project = desk.ide.create(HOSTILE[0], "bare")
    desk.home()
    expect(desk.projects.get_by_role("link", name=HOSTILE[0])).to_be_visible()
    desk.open(project)
    names = [name for name in HOSTILE if "/" not in name]
    for name in names:
        desk.written(name, f"alert(1) {name}\n".encode())
    desk.written("no-utf8", b"")
    (desk.ide.folder / "data" / "projects" / project["id"] / "files" / "x").mkdir()
    for name in names:
        expect(desk.item(name)).to_be_visible()
        desk.item(name).click()
        expect(desk.editor(name)).to_contain_text("alert(1)")
        expect(desk.page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
    desk.editor(names[-1]).click()
    desk.page.keyboard.press("Control+Home")
    desk.page.keyboard.type("x")
    desk.saved()
    assert desk.on_disk("%23%3F%2B%25.txt").startswith(b"xalert")
    desk.page.keyboard.press("Control+Shift+f")
    expect(desk.page.get_by_role("searchbox", name="Search for")).to_be_focused()
    desk.page.keyboard.type("alert(1)")
    expect(desk.page.get_by_text(f"in {len(names)} files")).to_be_visible()
    desk.page.keyboard.press("Control+p")
    desk.page.keyboard.type("onerror")
    expect(desk.page.get_by_role("option").first).to_contain_text("<img src=x")
    desk.page.keyboard.press("Escape")
    desk.shell(r"printf '\033]0;<img src=x onerror=alert(1)>\007\033]52;c;aGk=\007<b>out</b>\n'; echo end-$((3+4))")
    desk.shows("shell", "end-7")
    desk.page.reload()
    expect(desk.editor(names[-1])).to_contain_text("alert(1)")
    assert desk.page.locator("img[src=x], svg[onload]").count() == 0


def test_what_is_no_utf8_can_be_opened_and_saved(desk_of):
    desk = desk_of()
    project = desk.ide.create("bytes", "bare")
    desk.open(project)
    folder = desk.ide.folder / "data" / "projects" / project["id"] / "files"
    with open(bytes(folder) + b"/latin-\xe9.txt", "wb") as file:
        file.write(b"one\n")
    desk.item("latin-\ufffd.txt").click()
    expect(desk.editor("latin-\ufffd.txt")).to_contain_text("one")
    desk.write("latin-\ufffd.txt", "two\n")
    desk.saved()
    with open(bytes(folder) + b"/latin-\xe9.txt", "rb") as file:
        assert file.read() == b"two\n"


def test_script_before_first_use_is_small(desk_of):
    desk = desk_of()
    project = desk.ide.create("small", "bare")
    scripts = []
    desk.page.on("requestfinished",
                 lambda request: scripts.append(request) if request.resource_type == "script" else None)
    desk.open(project)
    wait_for(lambda: "$" in desk.terminal("shell") or "#" in desk.terminal("shell"), "a prompt")
    desk.item("sub").click()
    sizes = {request.url.rpartition("/static/")[2]: request.sizes()["responseBodySize"] for request in scripts}
    lazy = {name for name in sizes if name.startswith("vendor/xterm-webgl-")}
    total = sum(size for name, size in sizes.items() if name not in lazy)
    assert 150_000 < total <= MAX_SCRIPT, sizes


# A list of lines three ways: what was, and two who changed it. Where they do not touch, both changes are in the result.
JOIN = """async () => {
  const [{joined}, {merge}] = await Promise.all(["joining", "vendor"].map((name) => import(`/static/${name}.js`)));
  const {diff} = await merge();
  let seed = 7;
  const random = (n) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % n; };
  const wrong = [];
  const changed = (lines, from, to, mark) => lines.flatMap((line, n) => n < from || n >= to ? [line] :
    [[], [`${mark} ${line}`], [line, `${mark} new ${n}`]][random(3)]);
  for (let turn = 0; turn < 300; turn++) {
    const base = Array.from({length: 12 + random(20)}, (_, n) => random(3) ? `line ${n}` : "");
    const middle = 5 + random(base.length - 10);
    const [mine, theirs] = [changed(base, 0, middle - 2, "mine"), changed(base, middle + 2, base.length, "theirs")];
    const text = (lines) => lines.join("\\n");
    const want = text([...mine.slice(0, mine.length - (base.length - middle)), ...theirs.slice(middle)]);
    const got = joined(text(base), text(mine), text(theirs), diff);
    if (got.clashes || got.text !== want) {
      wrong.push([base, mine, theirs, got]);
    }
    for (const [a, b, w] of [[mine, base, mine], [base, theirs, theirs], [mine, mine, mine]]) {
      const same = joined(text(base), text(a), text(b), diff);
      if (same.clashes || same.text !== text(w)) {
        wrong.push(["trivial", base, a, b, same]);
      }
    }
    const clash = joined("a\\nb\\nc", "a\\nmine\\nc", "a\\ntheirs\\nc", diff);
    if (clash.text !== "a\\n<<<<<<< mine\\nmine\\n=======\\ntheirs\\n>>>>>>> theirs\\nc") {
      wrong.push(clash);
    }
  }
  return wrong.slice(0, 2);
}"""


def test_changes_that_do_not_touch_are_joined_and_others_stand_between_marks(desk_of):
    desk = desk_of()
    desk.home()
    assert desk.page.evaluate(JOIN) == []
