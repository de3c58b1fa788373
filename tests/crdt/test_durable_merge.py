"""What a merge calls superseded is superseded on disk: a crash takes back neither the loser nor the winner alone."""
import shutil

from hotpath.core.data.lww import bundle, encode, pack, parse
from tests.crdt.replicas import HeldDisk, Worker, ahead, opened, put


def test_a_cell_that_loses_to_a_pending_write_is_not_acknowledged_before_that_is_on_disk(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path / "live", disk) as replica:
        older = encode(b"k", ahead(replica.table.wall() - 1000, "b"), True, pack("older"))
        disk.free.clear()
        writer = Worker(put, replica, b"k", "newer")
        writer.must_wait()
        assert parse(older)[1] < replica.table.stamp(b"k")
        merge = Worker(replica.merge, bundle([older], replica.bias))
        merge.must_wait()
        disk.free.set()
        assert merge.result() == (0, 1, 0)
        assert writer.result().stamp > parse(older)[1]
    shutil.copytree(tmp_path / "live", tmp_path / "after")
    with opened(tmp_path / "after") as again:
        assert again.table.stamp(b"k") >= parse(older)[1]


def test_a_cell_that_is_there_on_disk_is_acknowledged_at_once(tmp_path):
    disk = HeldDisk()
    with opened(tmp_path, disk) as replica:
        put(replica, b"k", 1)
        delta = replica.delta()
        assert replica.merge(delta) == (0, 1, 0)
