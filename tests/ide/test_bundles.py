"""The bundles: what is committed is what the recipe makes, and its licences are beside it."""
from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

IDE = Path(__file__).parents[2] / "ide"
PAGE, BUNDLES = IDE / "page", IDE / "bundles"


def test_the_compressed_file_beside_each_bundle_is_that_bundle():
    bundles = sorted((PAGE / "vendor").glob("*.js"))
    assert len(bundles) > 20
    for bundle in bundles:
        assert gzip.decompress(bundle.with_name(f"{bundle.name}.gz").read_bytes()) == bundle.read_bytes(), bundle.name


def test_only_one_file_knows_the_hashes():
    hashed = re.compile(r"vendor/[a-z-]+-[A-Z0-9]{8}\.js")
    ours = [path for path in PAGE.rglob("*") if path.suffix in (".js", ".html") and path.parent.name != "vendor"]
    knowing = [path.name for path in ours if hashed.search(path.read_text())]
    assert knowing == ["vendor.js"]
    named = set(re.findall(r"vendor/([a-z-]+-[A-Z0-9]{8}\.js)", (PAGE / "vendor.js").read_text()))
    assert named <= {path.name for path in (PAGE / "vendor").iterdir()}


def test_no_bundle_asks_the_page_for_what_its_policy_forbids():
    for bundle in (PAGE / "vendor").glob("*.js"):
        text = bundle.read_text()
        assert not re.search(r"\beval\(|new Function\(|\.innerHTML\s*=", text), bundle.name
        assert 'setAttribute("style"' not in text, bundle.name


def test_each_package_has_its_licence_and_none_is_loaded_from_elsewhere():
    licences = (PAGE / "vendor" / "LICENSES.txt").read_text()
    for name in ("@codemirror/view", "@lezer/lr", "@xterm/xterm", "@xterm/addon-webgl", "style-mod"):
        assert re.search(rf"^{re.escape(name)} \d", licences, re.MULTILINE), name
    assert "resolved" not in (BUNDLES / "package-lock.json").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_recipe_makes_the_same_bundles(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("no npm: install Debian's packages nodejs and npm")
    recipe = tmp_path / "bundles"
    shutil.copytree(BUNDLES, recipe, ignore=shutil.ignore_patterns("node_modules"))
    commands = (["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                ["node", "build.mjs", str(tmp_path / "page")])
    for command in commands:
        done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    made = {path.name: path.read_bytes() for path in (tmp_path / "page" / "vendor").iterdir()}
    kept = {path.name: path.read_bytes() for path in (PAGE / "vendor").iterdir() if path.suffix != ".gz"}
    assert made.keys() == kept.keys()
    assert made == kept
    assert (tmp_path / "page" / "vendor.js").read_bytes() == (PAGE / "vendor.js").read_bytes()
