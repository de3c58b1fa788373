"""Who is refused what, and why; and that a forecast changes nothing."""
from __future__ import annotations

import pytest

from hotpath.core.errors import ReshardConflict
from hotpath.shard.mover import InvalidRequest, UnknownShard

from .conftest import Make


@pytest.mark.parametrize("name", ["", "S3", "3s", "meta", "s_3", "s" * 32, "s3\n", None, 3])
def test_a_shard_needs_a_name(files: Make, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        files().admin.add(name)
    assert refused.value.errors[0]["path"] == "name"


@pytest.mark.parametrize(("field", "value"), [
    ("weight", 0), ("weight", -1.0), ("weight", float("nan")), ("weight", True), ("weight", "1"), ("weight", 1001),
    ("rate", -1), ("rate", float("inf")), ("rate", "20000/s"), ("dsn", "mysql://u@h/d"),
])
def test_a_field_that_cannot_be_is_named(files: Make, field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        files().admin.add("s9", **{field: value})       # type: ignore[arg-type]
    assert refused.value.errors[0]["path"] == field


def test_one_reshard_at_a_time(files: Make) -> None:
    cluster = files(3)
    admin = cluster.admin
    for steer in (admin.pause, admin.resume, admin.complete, admin.cancel, lambda: admin.throttle(1)):
        with pytest.raises(ReshardConflict):
            steer()
    assert admin.document() is None
    with pytest.raises(ReshardConflict, match="s0 is a shard already"):
        admin.add("s0")
    with pytest.raises(UnknownShard, match="s7"):
        admin.remove("s7")
    admin.add("s9")
    with pytest.raises(ReshardConflict, match="under way"):
        admin.add("s8")
    with pytest.raises(ReshardConflict, match="under way"):
        admin.remove("s1")
    with pytest.raises(ReshardConflict, match="preparing"):
        admin.complete()
    assert admin.pause()["paused"] is True
    assert admin.pause()["paused"] is True
    assert admin.throttle(0)["rate"] == {"limit": 0.0, "now": 0.0}
    assert admin.resume()["paused"] is False
    assert admin.cancel()["state"] == "cancelling"
    assert admin.cancel()["state"] == "cancelling"
    assert cluster.carry().state == "cancelled"
    with pytest.raises(ReshardConflict, match="no reshard runs"):
        admin.cancel()
    admin.add("s9")
    assert cluster.carry().state == "done"
    with pytest.raises(ReshardConflict, match="no reshard runs"):
        admin.pause()


def test_the_last_shard_stays(files: Make) -> None:
    with pytest.raises(ReshardConflict, match="last shard"):
        files(1).admin.remove("s0")


def test_the_shard_with_the_map_stays(on_mariadb: Make) -> None:
    with pytest.raises(ReshardConflict, match="holds the map"):
        on_mariadb().admin.remove("s0")


def test_an_existing_shard_is_no_new_one(on_mariadb: Make) -> None:
    cluster = on_mariadb()
    with pytest.raises(ReshardConflict, match="s1 already"):
        cluster.admin.add("s9", dsn=cluster.directory.topology.member("s1").endpoint)
    for dsn in (None, "mysql://", "sqlite"):
        with pytest.raises(InvalidRequest, match="dsn"):
            cluster.admin.add("s9", dsn=dsn)


def test_what_was_completed_cannot_be_cancelled(files: Make, at: object) -> None:
    cluster = files()
    cluster.fill(20)
    cluster.add()
    refused = []

    def hear(step: str) -> None:
        if step == "complete: published":
            with pytest.raises(ReshardConflict, match="cannot be taken back"):
                cluster.admin.cancel()
            refused.append(step)

    at(hear)        # type: ignore[operator]
    assert cluster.carry().state == "done"
    assert refused


def test_a_forecast_changes_nothing(files: Make) -> None:
    cluster = files()
    rows = cluster.fill(50)
    topology = cluster.directory.topology
    forecast = cluster.admin.add("s9", dry_run=True, rate=10)
    assert cluster.admin.document() is None
    assert cluster.directory.refresh() == topology
    cluster.add()
    done = cluster.carry().document()
    assert forecast["slots"]["total"] == done["slots"]["total"]     # type: ignore[index]
    assert forecast["rows"]["total"] == done["rows"]["total"] > 0       # type: ignore[index]
    assert forecast["eta_s"] == forecast["rows"]["total"] / 10      # type: ignore[index]
    assert sum(map(len, rows.values())) == 150


def test_a_cluster_without_fences_never_moves(files: Make) -> None:
    cluster = files(fenced=False)
    with pytest.raises(ReshardConflict, match="fence: false"):
        cluster.admin.add("s9")
