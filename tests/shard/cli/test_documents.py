import msgspec
import pytest

from hotpath.shard.cli.documents import ClusterDoc, ReshardDoc, read

from . import documents


def test_a_document_is_read_as_it_is_served():
    found = read(documents.cluster(reshard=documents.reshard(), state="moving"), ClusterDoc)
    assert found.shards[1].rows == {"posts": 1234, "users": 6}
    assert found.reshard is not None
    assert found.reshard.moves[0].target == "s2"


def test_a_document_of_another_shape_is_refused():
    with pytest.raises(msgspec.ValidationError, match="copied"):
        read(documents.reshard(slots={"total": 1}), ReshardDoc)


@pytest.mark.parametrize(("changes", "over", "held", "stuck"), [
    ({}, False, False, False),
    ({"state": "done"}, True, False, False),
    ({"state": "cancelled"}, True, False, False),
    ({"state": "verified"}, False, False, False),
    ({"state": "verified", "hold": True}, False, True, False),
    ({"paused": True}, False, False, False),
    ({"paused": True, "error": "disk full"}, False, False, True),
    ({"error": "asked again in 1 s"}, False, False, False),
])
def test_what_a_reshard_waits_for(changes, over, held, stuck):
    found = read(documents.reshard(**changes), ReshardDoc)
    assert (found.is_over, found.is_held, found.is_stuck) == (over, held, stuck)
