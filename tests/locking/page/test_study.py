"""The study's plots and crossovers are shown, or that there is none."""
from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from hotpath.core.serve import Router
from hotpath.core.serve.testing import serving
from hotpath.locking.web.study import add_study
from tests.waiting import wait_for

from .conftest import looking

PLOT = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3"><text x="1" y="1">x</text></svg>'
CELLS = [(4, 0, None), (4, 10, 0.124), (16, 0, 0.0712)]
STUDY = {"studies": [{
    "name": "mariadb", "plots": ["p99.svg", "throughput.svg", "wasted.svg"],
    "summary": {"backend": "mariadb", "server": "MariaDB 10.11", "machine": "2 cores", "crossover": [
        {"workers": workers, "work_ms": work_ms, "conflict_prob": prob} for workers, work_ms, prob in CELLS]}}]}


@pytest.fixture
def studied(view):
    """The page of a server that has one study."""
    view.page.route("**/study/index.json", lambda route: route.fulfill(json=STUDY))
    view.page.route("**/study/mariadb/*.svg", lambda route: route.fulfill(content_type="image/svg+xml", body=PLOT))
    view.page.reload()
    return view


def test_plots_and_crossovers_are_shown(studied):
    article = studied.page.get_by_role("article")
    expect(article.get_by_role("heading")).to_have_text("MariaDB 10.11, on 2 cores")
    expect(article).to_contain_text("locking at the start is the faster way once 7.1\u00a0% to 12\u00a0% of the tries")
    image = article.get_by_role("img")
    for plot, name in (("Throughput", "throughput"), ("Slowest of a hundred", "p99"), ("Wasted", "wasted")):
        article.get_by_role("radio", name=plot).check()
        expect(image).to_have_accessible_name(re.compile(f"^{plot} on mariadb"))
        expect(article.get_by_role("link")).to_have_attribute("href", f"study/mariadb/{name}.svg")
        wait_for(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), "the plot")
    expect(article.get_by_role("row")).to_have_text([
        "Workers0 ms of work10 ms of work", "4never12\u00a0%", "167.1\u00a0%not measured"])


def test_a_server_without_a_study_says_how_to_make_one(view):
    view.page.route("**/study/index.json", lambda route: route.fulfill(json={"studies": []}))
    view.page.reload()
    expect(view.page.locator("#study-said")).to_contain_text("hotpath-locking study --out")


def test_the_study_of_the_server_is_read_without_a_complaint(browser, address):
    with looking(browser, address) as view:
        expect(view.page.locator("#study-said")).not_to_contain_text("cannot be read")
        expect(view.page.locator("#study-said")).not_to_contain_text("Reading")


def test_a_study_that_does_not_come_is_asked_for_again(view):
    view.page.route("**/study/index.json", lambda route: route.abort())
    view.page.reload()
    expect(view.page.locator("#study-said")).to_contain_text("cannot be read: the server does not answer")
    view.page.unroute("**/study/index.json")
    expect(view.page.locator("#study-said")).not_to_contain_text("cannot be read")


def test_a_plot_opened_by_itself_has_its_styles_and_runs_nothing(browser, tmp_path):
    folder = tmp_path / "sqlite"
    folder.mkdir()
    (folder / "summary.json").write_text("{}")
    (folder / "p99.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><style>rect {stroke: #0000ff}</style>'
        '<rect width="9" height="9" style="fill: #ff0000"/><script>document.documentElement.id = "ran"</script></svg>')
    app = Router()
    add_study(app, tmp_path)
    with serving(app) as served:
        page = browser.new_page()
        page.goto(f"http://{served.address}/study/sqlite/p99.svg")
        look = page.locator("rect").evaluate("(rect) => [getComputedStyle(rect).fill, getComputedStyle(rect).stroke]")
        assert look == ["rgb(255, 0, 0)", "rgb(0, 0, 255)"]
        assert page.evaluate("document.documentElement.id") == ""
        page.close()
