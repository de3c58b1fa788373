"""published_seq: what was handed to Redis, without a hole, kept in bounds."""
from hotpath.chat.store.leases import MarkPublished, TakeLease
from hotpath.chat.store.marks import Marks
from hotpath.chat.store.relay import LEASE
from tests.waiting import wait_for


def test_a_mark_never_passes_over_a_hole(world):
    ann = world.user("ann")
    channel = world.channel(ann)
    for _ in range(9):
        world.post(ann, channel)
    mark = lambda: world.all("SELECT published_seq FROM channels WHERE id = ?", channel)[0][0]      # noqa: E731
    marks = world.writer.marks
    marks.published([(channel, 1), (channel, 2)])
    wait_for(lambda: mark() == 2, "1 and 2")
    marks.published([(channel, 4), (channel, 5)])       # 3 is of another process, which may have died
    marks.published([(channel, 7)])
    world.post(ann, channel)
    assert mark() == 2
    world.do(TakeLease(LEASE, "r", 1000))
    world.do(MarkPublished(LEASE, 1, ((channel, 2, 3),)))
    wait_for(lambda: mark() == 5, "3 … 5")
    world.do(MarkPublished(LEASE, 1, ((channel, 4, 6),)))
    assert mark() >= 6
    wait_for(lambda: mark() == 7, "6 and 7")
    world.do(MarkPublished(LEASE, 1, ((channel, 8, 9),)))       # as 8 never was
    assert mark() == 7
    assert not marks.are_due()


def test_marks_are_bounded():
    marks = Marks(lambda: None)
    marks.published([(1, 2 * n) for n in range(1000)])
    assert [len(ranges) for ranges in marks.waiting().values()] == [64]
