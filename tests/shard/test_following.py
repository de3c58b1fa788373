"""A reshard in hand: when is waiting over, and what is seen of one that is history."""
from __future__ import annotations

import pytest

from hotpath.core.errors import ReshardConflict, ShardUnavailable
from hotpath.shard.following import Following


def document(state="copying", **over):
    return {"id": "1", "state": state, "hold": False, "paused": False, "error": None, **over}


class Told:
    """An Admin that tells one document after the other; the last one again and again."""

    def __init__(self, *documents):
        self.documents = list(documents)
        self.steered = []

    def document(self):
        found = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(found, Exception):
            raise found
        return found

    def __getattr__(self, name):
        def steer(*asked):
            self.steered.append((name, *asked))
            return document("steered")
        return steer


def following(*documents):
    admin = Told(*documents)
    return Following(lambda: admin, document()), admin


@pytest.mark.parametrize("last", [document("done"), document("cancelled"), document("verified", hold=True)])
def test_waiting_is_over_when_nothing_more_happens_by_itself(last):
    one, _ = following(document("preparing"), document("verified"), last)
    assert one.wait(20) == last


def test_a_map_that_is_away_for_a_while_ends_no_waiting():
    one, _ = following(ShardUnavailable("meta", "away"), document(), document("done"))
    assert one.wait(20)["state"] == "done"


def test_what_is_paused_by_an_error_is_said():
    one, _ = following(document(paused=True), document(paused=True, error="disk full"))
    with pytest.raises(ReshardConflict, match="disk full"):
        one.wait(20)


def test_an_error_that_goes_away_by_itself_ends_no_waiting():
    one, _ = following(document(error="waiting for s1"), document("done"))
    assert one.wait(20)["state"] == "done"


def test_waiting_ends_in_time():
    one, _ = following(document())
    with pytest.raises(TimeoutError, match="copying"):
        one.wait(0.01)


def test_one_that_is_history_stays_as_it_was_last_seen():
    one, _ = following(document("done"), {**document("copying"), "id": "2"})
    assert one.progress()["state"] == "done"
    assert one.progress()["state"] == "done"


def test_it_is_steered_by_whoever_administers():
    one, admin = following(document())
    for act in (one.pause, one.resume, one.complete, one.cancel):
        assert act()["state"] == "steered"
    one.throttle(7)
    assert admin.steered == [("pause",), ("resume",), ("complete",), ("cancel",), ("throttle", 7)]
