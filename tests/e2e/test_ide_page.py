"""The ide in a browser: projects are made, files written, programs run, and all is there again afterwards."""
from __future__ import annotations

import re
import shutil
import zipfile
from io import BytesIO

import pytest
from playwright.sync_api import expect

from tests.ide.paths import public_folder
from tests.ide.servers import serving, written
from tests.waiting import free_port, wait_for

from .ideing import Desk

TEMPLATES = {"bare": {"title": "Bare", "image": "none", "run": "cat a.txt; sleep 0.2",
                      "files": {"a.txt": "one\ntwo\nthree\nfour\nfive\n", "sub/b.py": "b = 1\n"}}}


@pytest.fixture(scope="module")
def ide():
    with public_folder() as folder, serving(written(folder, base_path="/ide", templates=TEMPLATES), base="/ide") as ide:
        ide.folder = folder
        yield ide


@pytest.fixture
def desk(ide, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    desk = Desk(ide, context.new_page())
    yield desk
    desk.finish()
    context.close()


@pytest.fixture
def bare(desk, request):
    """A project that is open."""
    desk.open(desk.ide.create(request.node.name[:80], "bare"))
    desk.item("a.txt").click()
    expect(desk.editor("a.txt")).to_contain_text("five")
    return desk


def test_a_python_project_from_the_first_click_to_the_restarted_server(browser):
    with public_folder() as folder:
        file = written(folder)
        port = free_port()
        context = browser.new_context()
        with serving(file, port=port) as ide:
            ide.folder = folder
            desk = Desk(ide, context.new_page())
            desk.home()
            assert "token" not in desk.page.url
            desk.create("Answers", "Python")
            expect(desk.editor("main.py")).to_contain_text('print("hello")')
            held = []
            desk.page.route("**/file?path=main.py", lambda route: held.append(route)
                            if route.request.method == "PUT" and not held else route.fallback())
            desk.write("main.py", "print(6 * 7)\nraise SystemExit(3)\n")
            wait_for(lambda: desk.page.evaluate("1") and held, "the page's save")
            expect(desk.state).to_have_text("Saving")
            held[0].continue_()
            desk.saved()
            desk.page.unroute("**/file?path=main.py")
            assert desk.on_disk("main.py") == b"print(6 * 7)\nraise SystemExit(3)\n"
            desk.button("Run").click()
            desk.shows("run", "42")
            terminal = desk.page.get_by_role("region", name="Terminal")
            expect(terminal).to_contain_text(re.compile(r"exited with 3 after \d:\d\d"))
            expect(desk.button("Run")).to_be_visible()
            desk.shell("echo 'x = 1' > made.py && mkdir -p deep/er && echo made-$((20 + 3))")
            desk.shows("shell", "made-23")
            expect(desk.item("made.py")).to_be_visible()
            desk.page.reload()
            expect(desk.editor("main.py")).to_contain_text("6 * 7")
            desk.shows("shell", "made-23")
            desk.finish()
        with serving(file, port=port) as ide:
            desk.page.goto(f"{ide.url}/#token={ide.token}")
            expect(desk.projects.get_by_role("link", name="Answers")).to_be_visible()
            desk.projects.get_by_role("link", name="Answers").click()
            expect(desk.editor("main.py")).to_contain_text("6 * 7")
            expect(desk.item("made.py")).to_be_visible()
            desk.shell("cat made.py; echo back-$((20 + 4))")
            desk.shows("shell", "back-24")
        context.close()


def test_a_node_project_says_hello(desk):
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node: install Debian's packages nodejs and npm")
    desk.home()
    desk.create("noded", "Node.js")
    expect(desk.editor("main.js")).to_contain_text("hello")
    desk.button("Run").click()
    desk.shows("run", "hello world")


def test_stop_ends_the_program_and_keeps_its_console(desk):
    project = desk.ide.create("stopped", "bare")
    desk.ide.right(200, "PATCH", f"/api/projects/{project['id']}", {"run": "echo going; sleep 600"})
    desk.open(project)
    desk.button("Run").click()
    desk.shows("run", "going")
    desk.button("Stop").click()
    expect(desk.button("Run")).to_be_visible()
    desk.shows("run", "going")
    expect(desk.page.get_by_role("region", name="Terminal")).to_contain_text(re.compile("ended by SIG|exited with"))


def test_a_sandbox_that_is_started_again_gives_one_shell(bare):
    shells = bare.page.get_by_role("tablist", name="Terminals").get_by_role("tab")
    bare.shell("echo fir''st")
    bare.shows("shell", "first")
    bare.ide.right(200, "POST", f"/api/projects/{bare.id}/stop")
    bare.button("Start sandbox").click()
    bare.shell("echo seco''nd")
    bare.shows("shell", "second")
    expect(shells).to_have_text(["Shell 1"])
    assert len(bare.ide.right(200, "GET", f"/api/projects/{bare.id}/terminals")["terminals"]) == 1


def test_a_failed_start_is_said_once_and_tried_again_when_the_project_is_opened(bare):
    starts = f"**/api/projects/{bare.id}/start"
    bare.ide.right(200, "POST", f"/api/projects/{bare.id}/stop")
    bare.page.route(starts, lambda route: route.fulfill(
        status=503, content_type="application/problem+json", body='{"code": "sandbox-failed", "detail": "no engine"}'))
    failed = {**bare.ide.right(200, "GET", f"/api/projects/{bare.id}"), "state": "failed", "error": "no engine"}
    bare.page.route(f"**/api/projects/{bare.id}", lambda route: route.fulfill(json=failed))
    bare.button("Start sandbox").click()
    notices = bare.page.get_by_role("status", name="Notices")
    expect(notices).to_have_text("no engine")
    bare.button("Run").click()
    expect(bare.button("Run")).to_be_enabled()
    expect(notices).to_have_text("no engine")
    bare.page.unroute(starts)
    bare.page.reload()
    expect(bare.editor("a.txt")).to_be_visible()
    bare.shell("echo ba''ck")
    bare.shows("shell", "back")


def test_ctrl_g_goes_to_a_line_also_behind_a_search(bare):
    bare.editor("a.txt").click()
    bare.page.keyboard.press("Control+f")
    expect(bare.page.get_by_role("textbox", name="Find")).to_be_focused()
    bare.page.keyboard.press("Escape")
    bare.page.keyboard.press("Control+g")
    bare.page.keyboard.insert_text("4")
    bare.page.keyboard.press("Enter")
    expect(bare.page.get_by_text("Line 4, column 1")).to_be_visible()


def test_home_filters_renames_and_deletes_with_undo(desk):
    for name in ("alpha", "beta"):
        desk.ide.create(f"{name} of home", "bare", start=False)
    desk.home()
    desk.page.get_by_role("searchbox", name="Filter").fill("beta of")
    expect(desk.projects.get_by_role("link")).to_have_text(["beta of home"])
    desk.button("Actions for beta of home").click()
    desk.page.get_by_role("menuitem", name="Rename").click()
    desk.page.get_by_role("dialog").get_by_role("textbox", name="Name").fill("beta of home, again")
    desk.page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(desk.projects.get_by_role("link")).to_have_text(["beta of home, again"])
    desk.button("Actions for beta of home, again").click()
    desk.page.get_by_role("menuitem", name="Delete").click()
    expect(desk.projects.get_by_role("link")).to_have_count(0)
    desk.button("Undo").click()
    expect(desk.projects.get_by_role("link")).to_have_text(["beta of home, again"])


def test_a_name_that_is_taken_is_said_in_the_dialog(desk):
    desk.ide.create("Taken", "bare", start=False)
    desk.home()
    desk.create("taken", "Bare")
    expect(desk.page.get_by_role("dialog").get_by_role("alert")).not_to_be_empty()
    desk.page.keyboard.press("Escape")
    expect(desk.page.get_by_role("dialog")).to_have_count(0)


def test_without_a_session_the_page_asks_for_the_token(desk):
    project = desk.ide.create("locked", "bare", start=False)
    desk.page.goto(f"{desk.ide.url}/p/{project['id']}")
    token = desk.page.get_by_label("Token")
    token.fill("wrong")
    token.press("Enter")
    expect(desk.page.get_by_text("That is not the token.")).to_be_visible()
    token.fill(desk.ide.token)
    token.press("Enter")
    expect(desk.item("a.txt")).to_be_visible()


def test_what_the_terminal_writes_is_in_the_editor_with_cursor_and_undo_kept(bare):
    bare.editor("a.txt").click()
    bare.page.keyboard.press("Control+Home")
    bare.page.keyboard.press("End")
    bare.page.keyboard.type("!")
    bare.saved()
    bare.shell("sed -i 's/^five$/FIVE/; 1i zero' a.txt")
    expect(bare.editor("a.txt")).to_contain_text("FIVE")
    bare.page.keyboard.press("Shift+F6")
    expect(bare.editor("a.txt")).to_be_focused()
    bare.page.keyboard.type("?")
    bare.saved()
    assert bare.on_disk("a.txt") == b"zero\none!?\ntwo\nthree\nfour\nFIVE\n"
    bare.page.keyboard.press("Control+z")
    bare.page.keyboard.press("Control+z")
    bare.saved()
    wait_for(lambda: bare.on_disk("a.txt") == b"zero\none\ntwo\nthree\nfour\nFIVE\n", "undo of only what was typed")


def test_windows_line_ends_and_a_missing_last_one_stay(bare):
    bare.shell(r"printf 'a\r\nb\r\nc' > dos.txt")
    bare.item("dos.txt").click()
    expect(bare.editor("dos.txt")).to_contain_text("c")
    bare.editor("dos.txt").click()
    bare.page.keyboard.press("Control+Home")
    bare.page.keyboard.type("x")
    bare.saved()
    assert bare.on_disk("dos.txt") == b"xa\r\nb\r\nc"


def conflict(desk, mine, theirs):
    """Both sides change a.txt: the page's save is held until the disk has theirs."""
    held = []
    desk.page.route("**/file?path=a.txt", lambda route: held.append(route) if route.request.method == "PUT" and not held
                    else route.fallback())
    desk.write("a.txt", mine)
    wait_for(lambda: desk.page.evaluate("1") and held, "the page's save")
    desk.written("a.txt", theirs)
    held[0].continue_()
    expect(desk.state).to_have_text("Conflict")
    expect(desk.page.get_by_role("region", name="Conflict: a.txt")).to_be_visible()
    assert desk.on_disk("a.txt") == theirs


@pytest.mark.parametrize(("choice", "result"), [
    ("Save merged", b"one, mine\ntwo\nthree\nfour\nfive, theirs\n"),
    ("Keep mine", b"one, mine\ntwo\nthree\nfour\nfive\n"),
    ("Take theirs", b"one\ntwo\nthree\nfour\nfive, theirs\n"),
])
def test_a_conflict_loses_nothing_until_one_has_chosen(bare, choice, result):
    conflict(bare, "one, mine\ntwo\nthree\nfour\nfive\n", b"one\ntwo\nthree\nfour\nfive, theirs\n")
    expect(bare.page.get_by_role("textbox", name="Merged")).to_contain_text("one, mine")
    expect(bare.page.get_by_role("textbox", name="Theirs")).to_contain_text("five, theirs")
    bare.button(choice).click()
    bare.saved()
    assert bare.on_disk("a.txt") == result
    expect(bare.editor("a.txt")).to_contain_text("two")


def test_an_unresolved_conflict_is_there_again_after_a_reload(bare):
    conflict(bare, "mine\n", b"theirs\n")
    bare.page.reload()
    expect(bare.state).to_have_text("Conflict")
    expect(bare.page.get_by_role("textbox", name="Merged")).to_contain_text("<<<<<<< mine")
    assert bare.on_disk("a.txt") == b"theirs\n"


def test_what_cannot_be_saved_lives_through_a_reload(bare):
    bare.page.route("**/file?path=a.txt",
                    lambda route: route.abort() if route.request.method == "PUT" else route.fallback())
    bare.write("a.txt", "typed on a train\n")
    expect(bare.state).to_have_text("Offline")
    bare.page.reload()
    expect(bare.editor("a.txt")).to_contain_text("typed on a train")
    # A try that the reload cut short was perhaps let through: the browser takes routes away from a page that goes.
    expect(bare.state).to_have_text(re.compile("Offline|Saved"))
    if bare.state.inner_text() == "Saved":      # then it is
        assert bare.on_disk("a.txt") == b"typed on a train\n"
    bare.page.unroute_all()
    bare.page.keyboard.press("Control+s")
    bare.saved()
    assert bare.on_disk("a.txt") == b"typed on a train\n"


def test_quick_open_palette_and_search_lead_to_a_place(bare):
    bare.page.keyboard.press("Control+p")
    bare.page.keyboard.type("b.p")
    expect(bare.page.get_by_role("option", name="sub/b.py")).to_be_visible()
    bare.page.keyboard.press("Enter")
    expect(bare.editor("sub/b.py")).to_be_focused()
    bare.page.keyboard.press("F1")
    bare.page.keyboard.type("search in f")
    bare.page.keyboard.press("Enter")
    expect(bare.page.get_by_role("searchbox", name="Search for")).to_be_focused()
    bare.page.keyboard.type("thre")
    match = bare.page.get_by_role("button", name="three")
    expect(match).to_be_visible()
    match.click()
    expect(bare.editor("a.txt")).to_be_focused()
    bare.page.keyboard.type("drei")
    bare.saved()
    assert b"two\ndreie\nfour" in bare.on_disk("a.txt")


def test_an_earlier_content_is_looked_at_and_restored(bare):
    bare.write("a.txt", "other\n")
    bare.saved()
    bare.page.keyboard.press("F1")
    bare.page.keyboard.type("history of this")
    bare.page.keyboard.press("Enter")
    # The oldest: where the test stood still between two keys, what was there in between is a version, too.
    bare.page.get_by_role("listbox", name="Versions").get_by_role("option").last.click()
    expect(bare.page.get_by_role("textbox", name="Then")).to_contain_text("three")
    expect(bare.page.get_by_role("textbox", name="Now")).to_contain_text("other")
    bare.button("Restore this one").click()
    expect(bare.editor("a.txt")).to_contain_text("three")
    bare.saved()
    assert bare.on_disk("a.txt") == b"one\ntwo\nthree\nfour\nfive\n"


def test_the_tree_is_worked_by_keyboard_alone(bare):
    keys = bare.page.keyboard
    keys.press("Control+Shift+e")
    expect(bare.item("a.txt")).to_be_focused()
    keys.press("Alt+n")
    keys.type("new.md")
    keys.press("Enter")
    expect(bare.editor("new.md")).to_be_visible()
    keys.press("Control+Shift+e")
    expect(bare.item("new.md")).to_be_focused()
    keys.press("F2")
    keys.type("named")
    keys.press("Enter")
    expect(bare.item("named.md")).to_be_focused()
    expect(bare.editor("named.md")).to_be_visible()
    keys.press("Control+c")
    keys.press("Home")
    expect(bare.item("sub")).to_be_focused()
    keys.press("Control+v")
    expect(bare.tree.get_by_role("treeitem", name="named.md")).to_have_count(2)
    expect(bare.tree.get_by_role("treeitem", name="named.md").first).to_be_focused()
    keys.press("Control+x")
    keys.press("End")
    keys.press("ArrowUp")
    expect(bare.item("a.txt")).to_be_focused()
    keys.press("Control+v")                 # there is one already: it asks
    expect(bare.page.get_by_role("dialog", name="Replace it?")).to_be_visible()
    keys.press("Enter")
    expect(bare.tree.get_by_role("treeitem", name="named.md")).to_have_count(1)
    expect(bare.item("named.md")).to_be_focused()
    keys.press("Delete")
    expect(bare.page.get_by_role("dialog", name="Delete named.md?")).to_be_visible()
    keys.press("Enter")
    expect(bare.item("named.md")).to_have_count(0)
    expect(bare.item("a.txt")).to_be_focused()      # the dialog, too, is gone
    keys.press("F6")
    keys.press("F6")
    expect(bare.page.get_by_role("region", name="Terminal").get_by_role("textbox").last).to_be_focused()
    keys.press("F6")
    expect(bare.button("Run")).to_be_focused()


def test_files_come_and_go(bare):
    bare.item("a.txt").drag_to(bare.item("sub"))
    expect(bare.editor("sub/a.txt")).to_be_visible()
    expect(bare.tree.get_by_role("treeitem", name="a.txt")).to_have_attribute("aria-level", "2")
    with bare.page.expect_file_chooser() as chooser:
        bare.page.get_by_role("complementary").get_by_role("button", name="Upload files").click()
    chooser.value.set_files([{"name": "up.bin", "mimeType": "", "buffer": b"\0\1\2"}])
    expect(bare.page.get_by_text("1 file uploaded to")).to_be_visible()
    wait_for(lambda: bare.page.evaluate("1") and bare.on_disk("sub/up.bin") == b"\0\1\2", "the upload")
    bare.item("up.bin").click()
    expect(bare.page.get_by_text("is not a text that can be edited here")).to_be_visible()
    bare.item("sub").click(button="right")
    with bare.page.expect_download() as download:
        bare.page.get_by_role("menuitem", name="Download as zip").click()
    packed = BytesIO(download.value.path().read_bytes())
    assert sorted(zipfile.ZipFile(packed).namelist())[-1] == "up.bin"
    bare.item("sub").click(button="right")
    bare.page.get_by_role("menuitem", name="New folder").click()
    bare.page.keyboard.type("into")
    bare.page.keyboard.press("Enter")
    expect(bare.item("into")).to_be_focused()
    bare.item("into").click(button="right")
    with bare.page.expect_file_chooser() as chooser:
        bare.page.get_by_role("menuitem", name="Unpack a zip here").click()
    chooser.value.set_files([{"name": "some.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}])
    expect(bare.page.get_by_text("unpacked from some.zip")).to_be_visible()
    assert bare.on_disk("sub/into/b.py") == b"b = 1\n"


def test_what_a_program_serves_is_previewed(bare):
    port = free_port()
    bare.shell(f"echo '<h1>Served</h1>' > index.html; python3 -m http.server {port} --bind 127.0.0.1")
    expect(bare.page.get_by_text(f"Port {port} is open.")).to_be_visible()
    bare.page.get_by_role("status", name="Notices").get_by_role("button", name="Preview").click()
    expect(bare.page.frame_locator("iframe[title=Preview]").get_by_role("heading", name="Served")).to_be_visible()
    assert "localhost" in bare.page.locator("iframe[title=Preview]").get_attribute("src")


def test_a_packages_name_that_is_none_is_refused_there(bare):
    bare.page.get_by_role("navigation").get_by_role("button", name="Packages").click()
    bare.page.get_by_label("Names of packages").fill("--index-url=x")
    bare.button("Install").click()
    expect(bare.page.get_by_role("complementary").get_by_role("alert")).not_to_be_empty()


def test_backups_say_that_none_are_configured(bare):
    bare.page.get_by_role("navigation").get_by_role("button", name="Backups").click()
    expect(bare.page.get_by_text("No backups are made")).to_be_visible()


def test_backups_say_when_the_last_one_was_made_while_the_store_is_silent(bare):
    last = {"seq": 3, "time": "2020-01-01T00:00:00Z", "files": 1, "bytes": 2}
    bare.page.route("**/backups", lambda route: route.fulfill(
        status=503, json={"detail": "the store: it does not answer.", "code": "backup-failed", "last": last}))
    bare.page.get_by_role("navigation").get_by_role("button", name="Backups").click()
    expect(bare.page.get_by_text("The last good one was made")).to_be_visible()
