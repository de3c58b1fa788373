"""MySQL's own replication below a shard: its server dies, another one has every row that was acknowledged."""
from __future__ import annotations

from contextlib import ExitStack

import msgspec
import pytest

from hotpath.core.errors import HotpathError
from hotpath.shard import Cluster
from tests.deploy.balancing import balanced
from tests.deploy.shipped import UNITS
from tests.mariadb import MariaDb, missing
from tests.scratch import scratch
from tests.waiting import wait_for

# Acknowledged only once another server has it: with less, the last commits of a dead server could be missing there,
# and among them the fence that keeps a stale router out.
BOTH = ("--log-bin=binlog", "--gtid-strict-mode=ON", "--skip-slave-start")
FIRST = (*BOTH, "--server-id=1", "--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
         "--rpl-semi-sync-master-timeout=600000")
SECOND = (*BOTH, "--server-id=2", "--rpl-semi-sync-slave-enabled=ON", "--read-only=ON", "--log-slave-updates=ON")
PASSWORD = "s3cret"


@pytest.fixture
def pair():
    """A server and its replica."""
    if why := missing():
        pytest.skip(why)
    with ExitStack() as stack:
        first, second = (MariaDb(stack.enter_context(scratch("maria")), *words) for words in (FIRST, SECOND))
        for server in (second, first):
            stack.callback(server.kill)
            server.start()
        second.execute(f"CHANGE MASTER TO master_host='127.0.0.1', master_port={first.port}, master_user='root', "
                       "master_use_gtid=slave_pos")
        second.execute("START SLAVE")
        wait_for(lambda: first.execute("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[0][1] == "1", "the replica")
        for statement in (f"CREATE USER hotpath@'%' IDENTIFIED BY '{PASSWORD}'",
                          "GRANT ALL ON `blog%`.* TO hotpath@'%'", "CREATE DATABASE blog"):
            first.execute(statement)
        yield first, second


def test_a_shard_outlives_its_server(pair, tmp_path):
    first, second = pair
    tables = msgspec.yaml.decode((UNITS / "config" / "shard.yaml").read_text())["tables"]
    # The address stays when the server changes: that is what stands in the map.
    with balanced(tmp_path, f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port} backup") as port, Cluster.open({
            "cluster": "blog", "backend": "dsn", "data": str(tmp_path / "data"), "tables": tables,
            "shards": [{"name": "s0", "dsn": f"mysql://hotpath:{PASSWORD}@127.0.0.1:{port}/blog"}]}) as cluster:
        posts = cluster.table("posts")
        for n in range(200):
            posts.insert({"id": n, "author": "ada", "title": f"tea {n}"})
        told = first.execute("SELECT @@gtid_binlog_pos")[0][0]
        first.kill()
        # Nobody may write there yet: to promote it is the operator's decision, or a tool's.
        with pytest.raises(HotpathError):
            posts.insert({"id": 1000, "author": "ada", "title": "too early"})
        # It has received what was acknowledged; it must have done it, too, before its relay log goes.
        wait_for(lambda: second.execute(f"SELECT MASTER_GTID_WAIT('{told}', 1)") == [(0,)], "the replica to have it")
        second.execute("STOP SLAVE")
        second.execute("RESET SLAVE ALL")
        second.execute("SET GLOBAL read_only = OFF")

        def written():
            try:
                return posts.put({"id": 1001, "author": "ada", "title": "after"}) is not None
            except HotpathError:
                return False

        wait_for(written, "the new server", 60)
        rows = posts.get_many(list(range(200)))
        assert [row["title"] for row in rows] == [f"tea {n}" for n in range(200)]
        assert cluster.verify()["ok"]
