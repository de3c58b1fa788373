import re
import warnings
import xml.etree.ElementTree as ET
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'hotpath[study]'")

from hotpath.locking.study import plots
from hotpath.locking.study.grid import POLICIES
from hotpath.locking.study.plots import PLOTS, apart, curves_of, draw
from hotpath.locking.study.summary import summary_of

from .lines import line

SVG = "{http://www.w3.org/2000/svg}"


def study(*, workers=(1, 2, 8), works=(0, 5), policies=POLICIES):
    rows = {1: 0.8, 4: 0.4, 64: 0.02}
    return [line(policy, n, workers=w, work_ms=ms, conflict_prob=rows[n] if w > 1 else 0.0,
                 throughput=200.0 if policy != "optimistic" else 400 * (1 - rows[n]))
            for w in workers for ms in works for n in rows for policy in policies]


def drawn(lines, out):
    summary = summary_of(lines, backend="sqlite", server="SQLite 3.40")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(lines, summary, out)
    return {plot.name: ET.parse(out / f"{plot.name}.svg").getroot() for plot in PLOTS}


def texts(root):
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_each_picture_is_a_png_and_an_svg_whose_text_is_text(tmp_path):
    pictures = drawn(study(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("throughput", "p99", "wasted") for kind in ("png", "svg"))
    for name, root in pictures.items():
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
        words = texts(root)
        assert any("SQLite 3.40" in text for text in words)
        assert any("conflict probability" in text for text in words)
        for policy in POLICIES:
            assert any(text.startswith(policy) for text in words), policy
        for panel in ("2 workers, 0 ms of work", "8 workers, 5 ms of work"):
            assert panel in words
        assert not any(text.startswith("1 worker,") for text in words)


def test_the_crossover_is_marked(tmp_path):
    # 400 (1 - p) = 200 at one half, between 40 and 80 %.
    assert texts(drawn(study(), tmp_path)["throughput"]).count("50 %") == 4
    unmarked = drawn([each for each in study() if each.policy != "pessimistic"], tmp_path)["throughput"]
    assert "50 %" not in texts(unmarked)


def test_the_same_figures_make_the_same_file(tmp_path):
    drawn(study(), tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    drawn(study(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


@pytest.mark.parametrize("lines", [
    study(workers=(1,)),
    study(workers=(2, 4, 8, 16, 32), works=(0, 1, 10)),
    study(policies=("naive",)),
    [line()],
    [line("naive", conflict_prob=None)],
    [line(), line("pessimistic", rows=4)],
], ids=["alone", "wide", "one policy", "one point", "no probability", "broken off"])
def test_any_study_can_be_drawn(lines, tmp_path):
    for root in drawn(lines, tmp_path).values():
        assert texts(root)


def test_a_curve_has_the_means_of_the_repeats_by_rising_probability():
    lines = [line(rows=1, throughput=10.0, conflict_prob=0.5), line(rows=1, throughput=20.0, conflict_prob=0.7),
             line(rows=4, throughput=50.0, conflict_prob=0.1)]
    assert curves_of(PLOTS[0], lines) == {"optimistic": [(0.1, 50.0), (fmean([0.5, 0.7]), 15.0)]}


def test_the_colours_differ_and_need_no_eyes_for_them():
    assert set(plots.LOOKS) == set(POLICIES)
    colors, marks = zip(*plots.LOOKS.values(), strict=True)
    assert len(set(colors)) == len(set(marks)) == len(POLICIES)
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_names_do_not_cover_each_other_and_keep_their_order(wanted):
    places = apart(wanted, 0.1)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for lower, upper in pairwise(order):
        assert places[upper] - places[lower] >= 0.1 - 1e-9
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_a_name_with_room_stays_where_it_wants():
    assert apart([0.9, 0.1, 0.5], 0.1) == [0.9, 0.1, 0.5]
