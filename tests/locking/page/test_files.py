"""The page's files keep the rules: one policy, addresses that work behind a prefix, no data that becomes markup."""
import re

import pytest

from hotpath.core.serve.pages import KIT, policy
from hotpath.locking.web.service import PAGE

FILES = sorted(PAGE.iterdir())


def test_the_policy_in_the_page_is_the_one_of_the_server():
    """Whoever serves the files otherwise gets it too; frame-ancestors means nothing in a page."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', (PAGE / "index.html").read_text())
    assert found is not None
    assert policy() == f"{found[1]}; frame-ancestors 'none'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_address_in_the_page_is_relative(path):
    text = re.sub(r"http://www\.w3\.org/\S+", "", path.read_text())
    assert not re.search(r"""(?:src|href|from|url|fetch|ask|import)\s*[=(]?\s*["'`]/""", text)
    assert "://" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_data_becomes_markup(path):
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert path.suffix == ".svg" or not re.search(r"<[^>]+\s(?:style|on\w+)=", text)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_every_module_that_is_imported_is_there(path):
    for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
        assert (KIT / name.removeprefix("kit/") if name.startswith("kit/") else PAGE / name).is_file(), name
