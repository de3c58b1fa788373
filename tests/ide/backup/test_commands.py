"""`hotpath-ide backup` and `restore` on a data directory, with no server there."""
import json
import os

import msgspec
import pytest

from hotpath.ide.backup import commands
from hotpath.ide.errors import BackupFailed, Invalid, NameTaken, NotFound, TooMany
from hotpath.ide.workspace import record
from hotpath.ide.workspace.record import Record
from hotpath.ide.workspace.shelf import Shelf

OWNER = (1000, 1000) if os.geteuid() == 0 else None


@pytest.fixture
def config(bucket, tmp_path):
    return msgspec.structs.replace(bucket.config(), data=str(tmp_path / "data"))


@pytest.fixture
def project(config):
    """A project with a file, and one that is ignored."""
    def fill(files):
        (files / "main.py").write_bytes(b"print(1)\n")
        (files / ".venv").mkdir()
        (files / ".venv" / "x").write_bytes(b"x")

    moment = record.now()
    kept = Record(record.new_id(), "Mine", "python", moment, moment, run="python main.py 1")
    (config.folder / "projects").mkdir(parents=True)
    Shelf(config.folder, OWNER).make(kept, fill)
    return kept


def test_a_project_goes_to_the_store_and_comes_back_as_a_new_one(config, project, bucket, capsys):
    assert commands.backup(config, project.id) == 0
    assert commands.restore(config, project.id, None, None) == 0
    seq, new = capsys.readouterr().out.split()
    assert seq == "1"
    assert list(bucket.manifest(1, project.id)["files"]) == ["main.py"]
    assert new != project.id
    records = {kept.id: kept for kept in Shelf(config.folder, OWNER).open()}
    assert set(records) == {project.id, new}
    made = records[new]
    assert (made.name, made.template, made.run) == ("Mine (restored)", "python", "python main.py 1")
    files = config.folder / "projects" / new / "files"
    assert (files / "main.py").read_bytes() == b"print(1)\n"
    if OWNER:
        assert (os.stat(files).st_uid, os.stat(files / "main.py").st_uid) == (1000, 1000)


def test_it_is_restored_where_there_is_nothing_yet(config, project, tmp_path, capsys):
    commands.backup(config, project.id)
    elsewhere = msgspec.structs.replace(config, data=str(tmp_path / "other" / "data"))
    commands.restore(elsewhere, project.id, 1, "There")
    new = capsys.readouterr().out.split()[1]
    assert record.read(elsewhere.folder / "projects" / new).name == "There"
    commands.restore(elsewhere, project.id, 1, None)
    new = capsys.readouterr().out.split()[0]
    assert record.read(elsewhere.folder / "projects" / new).name == f"{project.id} (restored)"


def test_names_stay_apart(config, project, capsys):
    commands.backup(config, project.id)
    for _ in range(3):
        commands.restore(config, project.id, None, None)
    assert {kept.name for kept in Shelf(config.folder, OWNER).open()} == {
        "Mine", "Mine (restored)", "Mine (restored) 2", "Mine (restored) 3"}
    with pytest.raises(NameTaken):
        commands.restore(config, project.id, None, "mINE")
    with pytest.raises(Invalid):
        commands.restore(config, project.id, None, "a\nb")


def test_what_cannot_be_restored_leaves_nothing(config, project, bucket):
    commands.backup(config, project.id)
    before = sorted(os.listdir(config.folder / "projects"))
    with pytest.raises(NotFound):
        commands.restore(config, project.id, 9, None)
    manifest = bucket.manifest(1, project.id)
    manifest["files"]["../evil"] = {"dir": 1}
    bucket.put(f"{project.id}/manifests/00000001.json", json.dumps(manifest).encode())
    with pytest.raises(BackupFailed):
        commands.restore(config, project.id, 1, None)
    assert sorted(os.listdir(config.folder / "projects")) == before


def test_no_more_projects_than_there_may_be(config, project):
    full = msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, projects=1))
    with pytest.raises(TooMany):
        commands.restore(full, project.id, None, None)


@pytest.mark.parametrize("id", ["aaaaaaaaaaaa", "../../etc", ""])
def test_a_project_that_is_not_there_is_not_found(config, id):
    with pytest.raises(NotFound):
        commands.backup(config, id)
