"""The page's line to a terminal, in Node: cut as often as you like, each byte is shown once."""
from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotpath.core.serve.testing import Served, serving
from tests.ide.terminal import stage
from tests.ide.terminal.client import Stage
from tests.waiting import DEADLINE_S

PAGE = Path(__file__).parents[3] / "ide" / "page" / "terminal"
DRIVER = Path(__file__).with_name("line.mjs")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(stage.make(ring=1 << 20, window=16384)) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    # A browser takes each .js of the page as a module; Node asks for this file.
    (folder / "package.json").write_text('{"type": "module"}')
    for source in (DRIVER, PAGE / "line.js", PAGE / "protocol.js"):
        shutil.copy(source, folder)
    return folder


def follow(page: Path, served: Served, id: str, *, seed: int = 1, cuts: int = 0, typed: str = "") -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: install Debian's package nodejs")
    url = f"ws://{served.address}/projects/p/terminals/{id}/socket"
    done = subprocess.run(
        [node, "--experimental-websocket", "--no-warnings", str(page / DRIVER.name), url, str(seed), str(cuts), typed],
        capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("seed", [3, 17, 99])
def test_each_byte_is_shown_once_however_often_the_line_is_cut(served: Served, page: Path, seed: int):
    terminal = Stage(served.address).create("sh", "-c", "read x; seq 60000; exit 9")
    seen = follow(page, served, terminal["id"], seed=seed, cuts=12, typed="go\n")
    assert seen["text"].replace("\r\n", "\n") == "go\n" + "".join(f"{n}\n" for n in range(1, 60001))
    assert (seen["exit"], seen["clears"]) == (9, 0)
    assert seen["dials"] > 5
    assert seen["states"][0] == "connecting"
    assert seen["states"][-1] == "ended"


def test_a_terminal_that_ended_is_shown_and_not_asked_for_again(served: Served, page: Path):
    terminal = Stage(served.address).create("sh", "-c", "echo over; exit 0")
    for _ in range(2):
        seen = follow(page, served, terminal["id"])
        assert (seen["text"], seen["exit"], seen["dials"]) == ("over\r\n", 0, 1)
        assert seen["states"] == ["connecting", "live", "ended"]
