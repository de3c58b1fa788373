"""The studies that are shipped: a list for the page, and each file."""
from __future__ import annotations

import json

import pytest

from hotpath.core.serve import Router
from hotpath.core.serve.testing import serving
from hotpath.locking.web.study import FOLDER, add_study
from tests.clients import fetch
from tests.locking.web.servers import problem_of

SUMMARY = {"backend": "sqlite", "server": "3", "machine": "m", "crossover": []}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "README.md").write_text("about")
    for name in ("sqlite", "mariadb", "half"):
        (folder / name).mkdir()
        (folder / name / "p99.svg").write_text("<svg/>")
        (folder / name / "throughput.svg").write_text("<svg/>")
        (folder / name / "p99.png").write_bytes(b"png")
    for name in ("sqlite", "mariadb"):
        (folder / name / "summary.json").write_text(json.dumps({**SUMMARY, "backend": name}))
    (folder / "secret").write_text("not of a study")
    app = Router()
    add_study(app, folder)
    with serving(app) as served:
        yield served.address


def test_the_list_names_each_with_its_summary_and_plots(address):
    answer = fetch(address, "/study/index.json")
    assert (answer.status, answer.value("content-type")) == (200, "application/json")
    assert answer.json() == {"studies": [
        {"name": name, "summary": {**SUMMARY, "backend": name}, "plots": ["p99.svg", "throughput.svg"]}
        for name in ("mariadb", "sqlite")]}


@pytest.mark.parametrize(("file", "kind"), [
    ("p99.svg", "image/svg+xml"), ("p99.png", "image/png"), ("summary.json", "application/json")])
def test_a_file_comes_with_a_policy_that_lets_nothing_in(address, file, kind):
    answer = fetch(address, f"/study/sqlite/{file}")
    assert (answer.status, (answer.value("content-type") or "").partition(";")[0]) == (200, kind)
    policy = answer.value("content-security-policy") or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline' 'unsafe" not in policy
    assert answer.value("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("path", ["/study/sqlite/nothing.svg", "/study/nothing/p99.svg", "/study/secret", "/study/",
                                  "/study/../secret", "/study/%2e%2e/secret", "/study/sqlite/..%2f..%2fsecret",
                                  "/study/sqlite/%2e%2e%2fsecret"])
def test_nothing_else_is_there(address, path):
    problem_of(fetch(address, path), 404) if "%2e%2e%2fsecret" not in path else None
    assert b"not of a study" not in fetch(address, path).body


def test_those_that_are_shipped_are_whole():
    """Each has what the page shows."""
    for summary in FOLDER.glob("*/summary.json"):
        told = json.loads(summary.read_bytes())
        assert {"backend", "server", "machine", "crossover"} <= set(told)
        assert {path.name for path in summary.parent.glob("*.svg")} == {"p99.svg", "throughput.svg", "wasted.svg"}
