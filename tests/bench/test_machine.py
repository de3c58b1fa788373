import subprocess

from bench import machine


def test_an_absent_command_is_named_absent():
    assert machine.first_line("no-such-command-anywhere") == "absent"


def test_the_first_line_comes_from_either_stream():
    assert machine.first_line("sh", "-c", "echo one >&2; echo two >&2") == "one"


def test_the_reports_do_not_count_as_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    (tmp_path / "bench").mkdir()
    report, source = tmp_path / "bench" / "RESULTS.md", tmp_path / "source"
    report.write_text("old")
    source.write_text("old")
    commit = ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"]
    for command in (["init", "-q"], ["add", "."], commit):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    report.write_text("new")
    assert not machine.commit().endswith("+changes")
    source.write_text("new")
    assert machine.commit().endswith("+changes")


def test_a_header_holds_machine_versions_and_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "proxy", "--rounds", "1"])
    text = machine.header(versions="nginx 1")
    assert "python -P bench proxy --rounds 1\n" in text
    assert machine.describe() in text
    assert "nginx 1." in text
