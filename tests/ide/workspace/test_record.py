"""What is kept of a project."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotpath.ide.workspace import record
from hotpath.ide.workspace.record import Record, is_id, new_id


def test_ids_are_random_and_of_the_alphabet():
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_id(one) for one in ids)
    assert not any(map(is_id, ("", "a" * 11, "a" * 13, "A" * 12, "a" * 11 + "1", "../../../../..")))


def test_it_reads_what_it_wrote(tmp_path):
    folder = tmp_path / "aaaaaaaaaaaa"
    folder.mkdir()
    one = Record(folder.name, "näme", "python", record.now(), record.now(), run="x", keep_running=True)
    record.write(folder, one)
    assert record.read(folder) == one
    assert [path.name for path in folder.iterdir()] == ["project.json"]


def test_many_who_write_at_once_leave_a_whole_one(tmp_path):
    folder = tmp_path / "aaaaaaaaaaaa"
    folder.mkdir()
    one = Record(folder.name, "x", "python", record.now(), record.now())
    record.write(folder, one)
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(record.write, folder, one) for _ in range(40)]
        while not all(write.done() for write in writes):
            assert record.read(folder) == one
        assert all(write.result() is None for write in writes)


def test_another_projects_record_is_none(tmp_path):
    folder = tmp_path / "aaaaaaaaaaaa"
    folder.mkdir()
    record.write(folder, Record("b" * 12, "x", "python", record.now(), record.now()))
    with pytest.raises(ValueError, match="record of bbbbbbbbbbbb"):
        record.read(folder)


def test_times_are_rfc_3339_and_sort(tmp_path):
    first, second = record.now(), record.now()
    assert first <= second
    assert first.endswith("Z")
    assert len(first) == len("2026-01-31T12:00:00.000Z")
