"""The picture in shard/README.md is what the program draws; `python -P -m tests.shard.test_picture` draws it anew."""
from pathlib import Path

from hotpath.shard import schema
from hotpath.shard.topology import Member, Move, MoveState, Slots, Topology, placed
from hotpath.shard.web.ring import picture

RING = Path(schema.__file__).resolve().with_name("ring.svg")
OLD = ("s0", "s1", "s2")
NEW = "s3"


def drawn() -> str:
    """Three shards, and a fourth to which its share is moving."""
    names = (*OLD, NEW)
    before, after = (placed(dict.fromkeys(each, 1.0), 256, each) for each in (OLD, names))
    moves = tuple(
        Move(f"m{i}", name, NEW, MoveState.DUAL,
             Slots(slot for slot, owner in enumerate(after) if names[owner] == NEW and before[slot] == i))
        for i, name in enumerate(OLD))
    members = (*(Member(name, 1.0, "active", f"sqlite:{name}.db") for name in OLD),
               Member(NEW, 1.0, "joining", f"sqlite:{NEW}.db"))
    return picture(Topology(5, members, dict.fromkeys(names, 2), after, moves), "blog")


def test_the_picture_is_the_programs():
    assert RING.read_text() == drawn()


if __name__ == "__main__":
    RING.write_text(drawn())
