import pytest

from hotpath.core.errors import ShardUnavailable
from hotpath.shard.cli.documents import ReshardDoc, read
from hotpath.shard.cli.following import LINE_EVERY_S, PATIENCE_S, Ending, Lines, follow

from . import documents
from .screens import plain, terminal


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self):
        self.now_s = 0.0

    def pause(self, seconds):
        self.now_s += seconds

    def __call__(self):
        return self.now_s


def followed(*documents_, console=None, each=lambda: None):
    """What following these, one after the other, comes to."""
    console, written = console or plain()
    clock, left = Clock(), list(documents_)

    def ask():
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, BaseException):
            raise answer
        return read(answer, ReshardDoc)

    reshard, ending = follow(ask, console, each=each, pause=clock.pause, clock=clock)
    return reshard, ending, written.getvalue()


@pytest.mark.parametrize(("last", "ending"), [
    (documents.done(), Ending.DONE),
    (documents.reshard(state="cancelled"), Ending.CANCELLED),
    (documents.reshard(state="verified", hold=True), Ending.HELD),
    (documents.reshard(paused=True, error="disk full"), Ending.STUCK),
])
def test_it_ends_where_nothing_more_comes_by_itself(last, ending):
    reshard, found, text = followed(documents.reshard(), documents.reshard(paused=True), last)
    assert found is ending
    assert reshard == read(last, ReshardDoc)
    assert len(text.splitlines()) == 3, "a line for each change"


def test_on_a_terminal_it_is_drawn_in_place():
    _, _, text = followed(documents.reshard(), documents.done(), console=terminal())
    assert "copied" in text
    assert "\x1b[1A" in text, "the cursor goes up again"
    assert "1,000 of 1,000 rows" in text


def test_ctrl_c_ends_the_watching():
    reshard, ending, _ = followed(documents.reshard(), KeyboardInterrupt())
    assert ending is Ending.LEFT
    assert reshard.state == "copying"


def test_each_look_keeps_the_move_going():
    looks = []
    followed(documents.reshard(), documents.reshard(), documents.done(), each=lambda: looks.append(1))
    assert len(looks) == 2


def test_a_map_out_of_reach_for_a_moment_is_waited_for():
    away = ShardUnavailable("meta", "cannot be reached")
    _, ending, _ = followed(documents.reshard(), away, away, documents.done())
    assert ending is Ending.DONE


def test_a_map_out_of_reach_for_long_is_an_error():
    clock_s = []
    with pytest.raises(ShardUnavailable, match="meta"):
        followed(documents.reshard(), ShardUnavailable("meta", "cannot be reached"),
                 each=lambda: clock_s.append(1))
    assert len(clock_s) > PATIENCE_S


def test_lines_come_with_news_or_after_a_while():
    console, written = plain()
    clock = Clock()
    lines = Lines(console, clock=clock)
    for _ in range(3):
        lines.show(read(documents.reshard(), ReshardDoc))
    assert len(written.getvalue().splitlines()) == 1
    clock.pause(LINE_EVERY_S)
    lines.show(read(documents.reshard(), ReshardDoc))
    lines.show(read(documents.reshard(state="verifying"), ReshardDoc))
    assert [text.split(",")[0] for text in written.getvalue().splitlines()] == [
        "add s2: copying", "add s2: copying", "add s2: verifying"]
