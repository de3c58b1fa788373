"""ISOLATION.md says what the databases do."""
from __future__ import annotations

from tests.locking.isolation.anomalies import ANOMALIES
from tests.locking.isolation.document import COMMAND, PATH, tables_read, text_without_tables, written
from tests.locking.isolation.measure import COLUMNS, NAIVE, POSSIBLE, measured

FILE = PATH.read_text()
TABLES = tables_read(FILE)


def test_each_cell_is_what_the_database_does(backend, url):
    found, said = measured(backend, url, COLUMNS[backend]), TABLES[backend]
    different = [f"{anomaly} at {level}: {cell!r}, not {said.get(level, {}).get(anomaly)!r}"
                 for level, cells in found.items() for anomaly, cell in cells.items()
                 if cell != said.get(level, {}).get(anomaly)]
    assert not different, f"if it shall be so: {COMMAND}"
    assert list(found) == list(said)


def test_the_rest_of_the_file_is_what_would_be_written():
    versions = dict.fromkeys(TABLES, "1.0")
    assert text_without_tables(FILE) == text_without_tables(written(TABLES, versions))


def test_every_anomaly_and_level_is_there():
    assert {backend: list(table) for backend, table in TABLES.items()} == {
        backend: [level.name for level in levels] for backend, levels in COLUMNS.items()}
    names = [anomaly.name for anomaly in ANOMALIES]
    assert all(list(cells) == names for table in TABLES.values() for cells in table.values())


def test_without_transactions_everything_is_possible(backend, url):
    table = measured(backend, url, [NAIVE[backend]])
    assert table == {"none": dict.fromkeys((anomaly.name for anomaly in ANOMALIES), POSSIBLE)}


def test_every_anomaly_but_the_dirty_write_is_possible_in_some_transaction():
    happened = {anomaly for table in TABLES.values() for cells in table.values()
                for anomaly, cell in cells.items() if cell == POSSIBLE}
    assert happened == {anomaly.name for anomaly in ANOMALIES} - {"G0"}


def test_repeatable_read_loses_updates_on_mariadb_and_not_on_postgresql():
    assert TABLES["mariadb"]["REPEATABLE READ"]["P4"] == POSSIBLE
    assert TABLES["mariadb"]["REPEATABLE READ, innodb_snapshot_isolation"]["P4"] == "waits, 1020"
    assert TABLES["postgresql"]["REPEATABLE READ"]["P4"] == "waits, 40001"


def test_serializable_prevents_all():
    for backend, level in (("sqlite", "BEGIN"), ("sqlite", "BEGIN IMMEDIATE"), ("mariadb", "SERIALIZABLE"),
                           ("postgresql", "SERIALIZABLE")):
        assert POSSIBLE not in TABLES[backend][level].values()
        assert POSSIBLE not in TABLES[backend]["Optimistic, SERIALIZABLE"].values()


def test_the_librarys_cures_hold_on_every_backend():
    rows = {anomaly.name for anomaly in ANOMALIES} - {"PMP", "PMP, writing", "G2"}      # these have no row to guard
    for table in TABLES.values():
        assert table["Optimistic"]["P4"] != POSSIBLE
        assert table["Optimistic"]["G2-item"] == POSSIBLE
        for cure in ("Optimistic, ensure_unchanged", "Pessimistic"):
            assert POSSIBLE not in {table[cure][name] for name in rows}
