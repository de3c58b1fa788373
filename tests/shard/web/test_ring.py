"""The picture of the ring: all slots are drawn, once, in whose colour they are."""
from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from array import array
from base64 import b64encode
from hashlib import sha256

import pytest

from hotpath.shard.topology import Member, Topology
from hotpath.shard.web import ring
from tests.clients import fetch
from tests.shard.web.standin import standing_in, topology_of

SVG = "{http://www.w3.org/2000/svg}"


def paths_of(text: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(ring, shard) -> the angles of its arcs, in slots."""
    found = {}
    for path in ElementTree.fromstring(text).iter(f"{SVG}path"):
        arcs = re.findall(r"M(\S+) (\S+)A\S+ \S+ 0 0 1 (\S+) (\S+?)(?=M|$)", path.get("d"))
        found[path.get("data-ring"), path.get("data-shard")] = [
            (slot_at(float(x0), float(y0)), slot_at(float(x1), float(y1))) for x0, y0, x1, y1 in arcs]
    return found


def slot_at(x: float, y: float) -> float:
    return (math.atan2(y - ring.CENTRE, x - ring.CENTRE) / (2 * math.pi) + 0.25) % 1 * 65536


def test_every_owner_has_the_arcs_of_its_runs():
    topology = topology_of()
    found = paths_of(ring.picture(topology, "blog"))
    assert set(found) == {("owners", name) for name in ("s0", "s1", "s2")}
    for (_, name), arcs in found.items():
        runs = topology.slots[name].runs
        assert len(arcs) == len(runs)
        for (start, stop), (first, last) in zip(arcs, runs, strict=True):
            assert abs(start - first) % 65536 < 8
            assert min(abs(stop - last - 1), 65536 - abs(stop - last - 1)) < 8


def test_moving_slots_are_drawn_in_the_colour_of_where_they_come_from():
    topology = topology_of(moving=True)
    text = ring.picture(topology, "blog")
    found = paths_of(text)
    for move in topology.moves:
        assert len(found["sources", move.source]) == len(move.slots.runs)
    moving = sum(len(move.slots) for move in topology.moves)
    assert f"{moving} slots are on their way" in text
    assert "moving" in text


@pytest.mark.parametrize("n", [1, 2, 9])
def test_one_shard_is_a_whole_ring_and_many_share_colours(n):
    names = tuple(f"s{i}" for i in range(n))
    members = tuple(Member(name, 1.0, "active", "sqlite:x") for name in names)
    owners = array("H", (slot * n // 65536 for slot in range(65536)))
    text = ring.picture(Topology(1, members, dict.fromkeys(names, 1), owners), "blog")
    found = paths_of(text)
    assert len(found) == n
    assert all(len(arcs) == (2 if n == 1 else 1) for arcs in found.values())
    assert f"blog: {n} shard{'s' if n > 1 else ''} on the ring" in text


def test_it_stands_alone():
    with standing_in() as served:
        answer = fetch(served.address, "/v1/cluster/ring.svg")
        assert (answer.status, answer.value("content-type")) == (200, "image/svg+xml")
        root = ElementTree.fromstring(answer.body)
        assert root.get("viewBox")
        title, about = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert root.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
        assert "34.3%" in about.text
        style = root.find(f"{SVG}style").text
        digest = b64encode(sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in answer.value("content-security-policy")
        assert "default-src 'none'" in answer.value("content-security-policy")
        assert "prefers-color-scheme:dark" in style
        assert b"<script" not in answer.body
        paper = next(one for one in root.iter(f"{SVG}rect") if one.get("class") == "paper")
        assert f"0 0 {paper.get('width')} {paper.get('height')}" == root.get("viewBox")
