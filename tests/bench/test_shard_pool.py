from bench.paired import Cost
from bench.shard_pool import rows


def test_the_pool_is_held_to_its_goal():
    ours, theirs = rows({"hotpath": [Cost(0.1, 0.1, 100_000)], "other": [Cost(0.2, 0.2, 1000)]},
                        {"hotpath": 0.0, "other": 5.0})
    assert ours == ("hotpath", "1.00", "1", "0.0", "≤ 2: met; round trips ≤ 0: met")
    assert theirs == ("other", "200.00", "200.00 (200.00-200.00)", "5.0", "")
