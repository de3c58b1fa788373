"""The IDE's benchmark runs against a real server, and says what is missing."""
from bench import ide_house, ide_project


def test_a_prompt_is_measured():
    (row,) = ide_project.prompts(["process"], rounds=1)
    assert row[0] == "process"
    assert float(row[1]) > 0


def test_saves_and_changes_are_measured():
    with ide_house.ide("process") as server:
        bare, ours = ide_project.saves(server, count=3)
        assert float(ours[1]) > 0
        assert float(bare[1]) > 0
        (row,) = ide_project.changes(server, count=3)
        assert row[-1] == "3"


def test_what_a_page_loads_is_weighed():
    (row,) = ide_project.scripts()
    assert 0 < float(row[2]) < float(row[1])


def test_an_engine_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    said = ide_project.missing_engine()
    assert said is not None
    assert "start it" in said
