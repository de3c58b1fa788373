"""The tables of the meta database, and what is asked of them."""
from __future__ import annotations

from hotpath.shard.engine import Dialect, Statement

# BLOB and BIGINT mean as much to SQLite as to MySQL.
TABLES = (
    "CREATE TABLE IF NOT EXISTS _hp_cluster (id INT PRIMARY KEY, version BIGINT NOT NULL, topology {blob} NOT NULL, "
    "intent {blob}, facts {blob} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _hp_reshard (id INT PRIMARY KEY, doc {blob})",
    "CREATE TABLE IF NOT EXISTS _hp_lease (name {name} PRIMARY KEY, holder {name} NOT NULL, until DOUBLE NOT NULL)",
    "CREATE TABLE IF NOT EXISTS _hp_router (id {name} PRIMARY KEY, node INT NOT NULL UNIQUE, host {name} NOT NULL, "
    "pid BIGINT NOT NULL, version BIGINT NOT NULL, seen DOUBLE NOT NULL)",
)


def create_tables(dialect: Dialect) -> list[Statement]:
    """Make what is missing."""
    words = {"sqlite": {"blob": "BLOB", "name": "TEXT"}, "mysql": {"blob": "LONGBLOB", "name": "VARCHAR(190)"}}[dialect]
    options = "" if dialect == "sqlite" else " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    return [Statement(text.format(**words) + options) for text in TABLES]


READ = Statement("SELECT version, topology, intent FROM _hp_cluster WHERE id = 1")
VERSION = Statement("SELECT version FROM _hp_cluster WHERE id = 1")
FACTS = Statement("SELECT facts FROM _hp_cluster WHERE id = 1")
SET_FACTS = Statement("UPDATE _hp_cluster SET facts = ? WHERE id = 1")
CREATE = Statement("INSERT INTO _hp_cluster (id, version, topology, intent, facts) VALUES (1, ?, ?, NULL, ?)")
PROPOSE = Statement("UPDATE _hp_cluster SET intent = ? WHERE id = 1 AND version = ? AND intent IS NULL")
PUBLISH = Statement("UPDATE _hp_cluster SET version = ?, topology = ?, intent = NULL "
                    "WHERE id = 1 AND version = ? AND intent IS NOT NULL")

NO_RESHARD = Statement("INSERT INTO _hp_reshard (id, doc) VALUES (1, NULL)")
RESHARD = Statement("SELECT doc FROM _hp_reshard WHERE id = 1")
# SQLite has nothing to lock: a transaction that changes is alone.
RESHARD_LOCKED = {"sqlite": RESHARD, "mysql": Statement("SELECT doc FROM _hp_reshard WHERE id = 1 FOR UPDATE")}
SAVE_RESHARD = Statement("UPDATE _hp_reshard SET doc = ? WHERE id = 1")

NOW = {"sqlite": None, "mysql": Statement("SELECT UNIX_TIMESTAMP(NOW(6)) + 0e0")}
LEASE = Statement("SELECT holder, until FROM _hp_lease WHERE name = ?")
ADD_LEASE = Statement("INSERT INTO _hp_lease (name, holder, until) VALUES (?, ?, ?)")
TAKE_LEASE = Statement("UPDATE _hp_lease SET holder = ?, until = ? WHERE name = ? AND holder = ? AND until = ?")
DROP_LEASE = Statement("DELETE FROM _hp_lease WHERE name = ? AND holder = ?")

ROUTERS = Statement("SELECT id, node, host, pid, version, seen FROM _hp_router ORDER BY node")
ADD_ROUTER = Statement("INSERT INTO _hp_router (id, node, host, pid, version, seen) VALUES (?, ?, ?, ?, ?, ?)")
BEAT = Statement("UPDATE _hp_router SET version = ?, seen = ? WHERE id = ?")
DROP_ROUTER = Statement("DELETE FROM _hp_router WHERE id = ?")
DROP_SILENT = Statement("DELETE FROM _hp_router WHERE seen < ? OR seen > ?")
