"""docs/study says nothing that was not measured, and shows nothing that is not there."""
import re
from pathlib import Path

import pytest

from bench import results
from bench.plots import FOLDER

PAGES = sorted(FOLDER.glob("*.md"))
MEASURED = results.RESULTS.read_text() + results.PROFILE.read_text()
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def numbers(text: str) -> set[str]:
    """As they are written, without the commas between thousands."""
    return {found[0].rstrip(",").replace(",", "") for found in NUMBER.finditer(text)}


def prose(page: str) -> str:
    """Without code, without where links lead, without names that hold a number."""
    page = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", page, flags=re.S)
    return re.sub(r"HTTP/\d(?:\.\d)?|RFC \d+|UTF-8|MurmurHash3|io_uring|\bp\d\d\b", " ", page)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}


def test_there_are_pages():
    assert FOLDER / "README.md" in PAGES
    assert len(PAGES) > 9


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_number_was_measured(page):
    told = {number for number in numbers(prose(page.read_text())) if len(number) > 1}
    assert told - numbers(MEASURED) == set()


def test_a_number_that_was_not_measured_would_be_found():
    assert numbers(prose("It takes 1,234.5 µs (`17 x`), [see 18](other.md#19), HTTP/1.1")) == {"1234.5", "18"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_reached_from_the_first():
    linked = set(re.findall(r"\]\((\w+\.md)\)", (FOLDER / "README.md").read_text()))
    assert linked == {page.name for page in PAGES} - {"README.md"}
