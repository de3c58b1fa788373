"""`hotpath-shard`: flags, their mistakes with status 2, refusals with status 1, help that is complete."""
import subprocess
import sys

import pytest

from hotpath.core.errors import ConfigError, ReshardConflict
from hotpath.shard import command
from hotpath.shard.command import arguments, main

COMMANDS = ["up", "down", "serve", "status", "owner", "add", "remove", "pause", "resume", "throttle", "complete",
            "cancel", "verify", "bench"]
POSITIONALS = {"owner": ["posts", "1"], "add": ["s3"], "remove": ["s0"], "throttle": ["100"]}


@pytest.mark.parametrize(("argv", "wrong"), [
    ([], "required: COMMAND"),
    (["grow"], "invalid choice: 'grow'"),
    (["up", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["up", "--timeout", "0s"], "--timeout: '0s' is not allowed; allowed: from 1ms"),
    (["up", "--timeout", "soon"], "--timeout: 'soon' is not a duration; allowed: "),
    (["down", "--pur"], "unrecognized arguments: --pur"),
    (["serve", "--listen"], "--listen: expected one argument"),
    (["owner", "posts"], "required: KEY"),
    (["add"], "required: NAME"),
    (["add", "s_3"], "NAME: 's_3' is no shard's name; allowed: 1 to 31 of a-z, 0-9 and -, a letter first, and not "),
    (["add", "meta"], "NAME: 'meta' is no shard's name; allowed: "),
    (["add", "s3", "--weight", "0"], "--weight: '0' is no weight; allowed: a number above 0, up to 1000"),
    (["add", "s3", "--weight", "nan"], "--weight: 'nan' is no weight"),
    (["add", "s3", "--rate", "fast"], "--rate: 'fast' is no rate; allowed: rows per second"),
    (["add", "s3", "--dsn", "mysql://u:secret@h"], "--dsn: not a DSN; allowed: mysql://USER:PASSWORD@HOST:PORT/DATABASE"),
    (["remove", "s0", "--weight", "2"], "unrecognized arguments: --weight 2"),
    (["throttle"], "required: RATE"),
    (["throttle", "-1"], "RATE: '-1' is no rate"),
    (["bench", "--mix", "all"], "--mix: invalid choice: 'all'"),
    (["bench", "--threads", "0"], "--threads: '0' is not allowed; allowed: 1 to 1000"),
    (["bench", "--seconds", "inf"], "--seconds: 'inf' is not allowed; allowed: seconds, above 0, up to 3600"),
])
def test_a_flag_that_does_not_exist_or_fit_ends_with_2_in_one_line(capsys, argv, wrong):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert wrong in error
    assert error.startswith("hotpath-shard")
    assert "; allowed: " in error
    assert "secret" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(("name", "words"), [
    ("", [*COMMANDS, "--version", "FILE:LINE", "./shard-data"]),
    ("up", ["--timeout", "60s"]),
    ("down", ["--purge"]),
    ("serve", ["--listen", "--workers", "--check", "--no-up", "token_file", "keep_source", "statement", "USR2"]),
    ("status", ["--json", "--watch"]),
    ("owner", ["TABLE", "KEY", "--json"]),
    ("add", ["NAME", "--weight", "--dsn", "--rate", "--hold", "--keep-source", "--dry-run", "--detach", "--json",
             "Ctrl-C"]),
    ("remove", ["NAME", "--rate", "--hold", "--keep-source", "--dry-run", "--detach", "--json", "--keep-server"]),
    ("throttle", ["RATE", "0: no cap", "--json"]),
    ("verify", ["--json", "misplaced, doubled, missing, different"]),
    ("bench", ["--mix", "--threads", "--seconds", "--json", "hotpath_bench"]),
])
def test_help_is_complete(capsys, name, words):
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_file(name):
    given = arguments([name, *POSITIONALS.get(name, []), "-c", "shard.yaml"])
    assert given.config == "shard.yaml"
    assert given.command == name
    assert arguments([name, *POSITIONALS.get(name, [])]).config is None


def test_what_is_not_typed_is_the_files():
    given = arguments(["add", "s3"])
    assert (given.rate, given.hold, given.keep_source, given.dsn) == (None, None, None, None)
    assert arguments(["add", "s3", "--rate", "0", "--hold", "--keep-source"]).rate == 0.0
    assert arguments(["throttle", "20000/s"]).rate == 20000.0
    assert arguments(["throttle", "600/m"]).rate == 10.0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("text", "wrong"), [
    ("vnods: 1\n", ":1: vnods: unknown key (did you mean vnodes?); allowed: "),
    ("tables:\n  posts: {key: id, columns: {id: bigintt}}\n", ":2: tables.posts.columns.id: "),
])
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path, capsys, name, text, wrong):
    file = tmp_path / "shard.yaml"
    file.write_text(text)
    assert main([name, *POSITIONALS.get(name, []), "--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"{file}{wrong}")


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["status", "--config", str(tmp_path / "no.yaml")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/no.yaml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(("error", "status", "text"), [
    (ReshardConflict("the reshard r1 runs"), 1, "hotpath-shard pause: the reshard r1 runs\n"),
    (ConfigError("f", 3, "a.b", "wrong; allowed: right"), 2, "f:3: a.b: wrong; allowed: right\n"),
    (KeyboardInterrupt(), 1, ""),
])
def test_the_exit_status_says_who_must_act(monkeypatch, capsys, error, status, text):
    def refuse(given):
        raise error

    monkeypatch.setattr(command, "run_steer", refuse)
    assert main(["pause"]) == status
    assert capsys.readouterr().err == text


def test_whoever_stops_reading_us_gets_no_traceback():
    shell = f"{sys.executable} -P -m hotpath.shard serve --help | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=60,
                          check=False)
    assert "Traceback" not in done.stderr
