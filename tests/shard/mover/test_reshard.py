"""The record, and the document that people see."""
from __future__ import annotations

from msgspec.structs import replace

from hotpath.shard.mover.plan import Part
from hotpath.shard.mover.reshard import CANCELLABLE, NEXT, OVER, Reshard, dumped, loaded
from hotpath.shard.topology import Slots

PARTS = (Part("s0", "s2", Slots([1, 2, 3])), Part("s1", "s2", Slots([9])))


def running() -> Reshard:
    begun = Reshard.begun("add", "s2", PARTS, rate=100.0)
    moves = (replace(begun.moves[0], total=10, copied=6, pulled=2, dirty=3, verified=4, deleted=0, slots_copied=3),
             replace(begun.moves[1], total=5, copied=2, slots_verified=1, state="dual"))
    return replace(begun, state="copying", now=50.0, moves=moves)


def test_the_document_is_as_the_contract_says() -> None:
    document = running().document()
    assert document | {"id": "", "started": ""} == {
        "id": "", "kind": "add", "shard": "s2", "state": "copying", "paused": False, "error": None, "hold": False,
        "slots": {"total": 4, "copied": 3, "verified": 1},
        "rows": {"total": 15, "copied": 8, "pulled": 2, "dirty": 3, "verified": 4, "deleted": 0},
        "rate": {"limit": 100.0, "now": 50.0}, "eta_s": 0.1, "started": "", "finished": None,
        "moves": [{"source": "s0", "target": "s2", "state": "planned", "slots": 3, "rows": 10},
                  {"source": "s1", "target": "s2", "state": "dual", "slots": 1, "rows": 5}],
    }
    assert str(document["started"]).endswith("Z")


def test_what_rests_has_no_pace() -> None:
    paused = replace(running(), paused=True).document()
    assert (paused["rate"], paused["eta_s"]) == ({"limit": 100.0, "now": 0.0}, None)
    done = replace(running(), state="done", finished_s=1.5).document()
    assert (done["eta_s"], done["finished"]) == (None, "1970-01-01T00:00:01.500000Z")


def test_it_survives_the_database() -> None:
    record = running()
    assert loaded(dumped(record)) == record


def test_every_state_leads_to_an_end() -> None:
    for state in NEXT:
        steps = 0
        while state not in OVER:
            state = NEXT[state]
            steps += 1
            assert steps < 10
    assert not set(CANCELLABLE) & set(OVER)


def test_two_reshards_never_share_a_cursor() -> None:
    ids = {one.id for _ in range(50) for one in Reshard.begun("add", "s2", PARTS, rate=0.0).moves}
    assert len(ids) == 100
