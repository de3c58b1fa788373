from bench import crdt_heal
from bench.crdt_heal import Healed, Setting, rows, series


def test_keys_that_differ_are_counted_for_each_pair():
    arrivals = {"b": [(0.1, "k"), (0.3, "l"), (0.35, "other")], "c": [(0.2, "k"), (0.4, "l")]}
    healed = Healed("drill", 0.5, {}, arrivals, {"k", "l"})
    assert series(healed) == {
        "a–b": [(0.0, 2), (0.1, 1), (0.3, 0)],
        "a–c": [(0.0, 2), (0.2, 1), (0.4, 0)],
        "b–c": [(0.0, 0), (0.1, 1), (0.2, 0), (0.3, 1), (0.4, 0)]}


def test_the_limits_follow_from_the_setting():
    sent = dict.fromkeys(crdt_heal.PAIRS, 500_000)
    found = [Healed("drill", 1.3, sent, {}), Healed("cable", 1.1, sent, {})]
    table = rows(found, 14_000_000, Setting(100_000, 1, 500, 0.01))
    assert table[0][2:] == ("1.2", "≤ 1.2: missed")
    assert table[1][2:] == ("1.2", "≤ 1.2: met")
    assert table[2][2] == f"{3 * 1000 * crdt_heal.CELL_BYTES + 40 * 1024:,}"
    assert table[2][3].endswith("missed")


def test_three_replicas_are_cut_changed_and_healed(tmp_path):
    setting = Setting(keys=300, rounds=1, interval_ms=100, changed=0.1)
    told = []
    found, whole = crdt_heal.run(tmp_path, setting, told.append)
    assert whole > 300 * crdt_heal.CELL_BYTES
    assert [healed.how for healed in found] == ["drill", "cable"]
    for healed in found:
        assert all(sent > 0 for sent in healed.sent.values())
        assert len(healed.changed) == 30
        assert {name: points[-1][1] for name, points in series(healed).items()} == {"a–b": 0, "a–c": 0, "b–c": 0}
    assert told[-1] == "heal: cable, round 1 of 1"
