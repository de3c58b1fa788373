from bench import ring_movement
from bench.core_data import BATCH


def test_only_the_new_server_gains_and_the_remainder_moves_nearly_all():
    found = dict(zip(ring_movement.COLUMNS, ring_movement.row(8, 64), strict=True))
    assert found["moved between old servers %"] == "0.0"
    assert abs(float(found["one more: ring %"]) - float(found["least possible %"])) < 5
    assert float(found["one more: remainder %"]) > 80


def test_the_keys_differ():
    assert len(set(BATCH)) == len(BATCH)
