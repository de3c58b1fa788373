import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from bench import drawing, pictures, plots, results

FOUND = """## chat: group commit

| sync | group commit | messages/s | goal |
|---|---:|---:|---:|
| this disk's | max_batch 256 | 5,088 |  |
| this disk's | max_batch 1 | 1,528 |  |
"""


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return plots.drawn(results.RESULTS.read_text(), results.PROFILE.read_text())


def test_a_table_becomes_a_picture_with_its_numbers():
    with matplotlib.rc_context(drawing.LOOK):
        svg = drawing.svg(pictures.PICTURES["chat-commits"].draw(FOUND, ""), "a < b")
    assert {"5,088", "1,528", "this disk's, max_batch 256"} <= set(words(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == "a < b"


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_goes_with_light_and_dark_pages(drawn, name):
    svg = drawn[f"{name}.svg"]
    ElementTree.fromstring(svg)
    assert "prefers-color-scheme:dark" in svg
    assert "var(--paper)" in svg
    assert not set(drawing.VARIABLES) & set(re.findall("#[0-9a-f]{6}", svg)), "a stand-in was not replaced"


def test_the_same_tables_make_the_same_pictures(drawn):
    with matplotlib.rc_context(drawing.LOOK):
        picture = pictures.PICTURES["terminal"]
        again = drawing.svg(picture.draw(results.RESULTS.read_text(), results.PROFILE.read_text()), picture.title)
    assert again == drawn["terminal.svg"]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_pictures_that_are_shown_are_of_the_tables_that_stand(drawn, name):
    kept = plots.FOLDER / f"{name}.svg"
    assert sorted(words(kept.read_text())) == sorted(words(drawn[kept.name])), "python -P bench plots draws them anew"


def test_ours_has_one_colour_and_rivals_differ():
    names = ["nginx", "haproxy", "hotpath"]
    assert drawing.colour("hotpath", names) == drawing.OURS
    assert len({drawing.colour(name, names) for name in names}) == 3
