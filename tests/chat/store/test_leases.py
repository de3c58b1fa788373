"""One holder at a time, and a number that fences off the one before."""
from hotpath.chat.store.leases import DropLease, MarkPublished, TakeLease


def test_a_lease_has_one_holder_and_a_number_that_rises(world):
    take = lambda owner: world.do(TakeLease("x", owner, 1000))      # noqa: E731
    assert take("a") == 1
    assert take("b") is None
    assert take("a") == 1
    world.now_ms += 999
    assert take("b") is None
    world.now_ms += 1
    assert take("b") == 2
    assert take("a") is None
    world.do(DropLease("x", "a", 1))
    assert take("a") is None
    world.do(DropLease("x", "b", 2))
    assert take("a") == 3
    assert world.do(TakeLease("y", "b", 1000)) == 1
    assert world.refused(MarkPublished("x", 2, ())) == 409
    assert world.refused(MarkPublished("z", 1, ())) == 409
    world.do(MarkPublished("x", 3, ()))
