from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hotpath.core.serve.testing import launched
from hotpath.ide.command import arguments, main
from tests.clients import fetch
from tests.ide.servers import serving, written


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "hotpath.ide", *words], cwd=cwd, capture_output=True, text=True,
                          timeout=60)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("serve", "images", "backup", "restore"))


@pytest.mark.parametrize("words", [
    [], ["nothing"], ["serve", "--nothing"], ["backup"], ["restore"], ["restore", "x", "--seq", "0"],
    ["restore", "x", "--seq", "x"]])
def test_a_mistake_ends_with_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments(words)
    assert ended.value.code == 2
    assert "allowed" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "line", "said"), [
    ("data: ./d\nlisten: 0.0.0.0:0\nauth: {mode: none}\n", 2, "auth.mode none"),
    ("data: ./d\nsandbox: {kind: process}\nlisten: '[::]:0'\n", 3, "no sandbox"),
    ("listen: 127.0.0.1:0\nworkers: 2\n", 2, "allowed: 1"),
    ("workers: 1\nlimits:\n  file: lots\n", 3, "limits.file"),
    ("templates: {x: {title: X}}\n", 1, "image is missing"),
    ("base_path: ide\n", 1, "base_path")])
def test_a_bad_file_is_blamed_by_line(tmp_path, text, line, said, capsys):
    file = tmp_path / "ide.yaml"
    file.write_text(text)
    for words in (["--check"], []):
        assert main(["serve", "--config", str(file), *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"{file}:{line}: ")
        assert said in error
    assert not (tmp_path / "d").exists()


def test_flags_are_blamed_by_name(tmp_path, capsys):
    file = tmp_path / "ide.yaml"
    file.write_text("sandbox: {kind: process}\n")
    assert main(["serve", "-c", str(file), "--check", "--listen", "0.0.0.0:0"]) == 2
    assert capsys.readouterr().err.startswith("--listen: 0.0.0.0:0 can be reached by others")
    assert main(["serve", "-c", str(file), "--check", "--workers", "2"]) == 2
    assert capsys.readouterr().err.startswith("--workers: ")


def test_who_says_so_may_be_reached_without_a_sandbox(tmp_path, capsys):
    file = tmp_path / "ide.yaml"
    file.write_text("sandbox: {kind: process, allow_unsandboxed: true}\nlisten: 0.0.0.0:0\n")
    assert main(["serve", "-c", str(file), "--check"]) == 0
    assert "ok" in capsys.readouterr().out
    assert not (tmp_path / "ide-data").exists()


def test_serve_prints_how_to_sign_in_and_keeps_the_token(tmp_path):
    file = written(tmp_path)
    with serving(file) as ide:
        kept = tmp_path / "data" / "token"
        assert kept.read_text().strip() == ide.token
        assert len(ide.token) >= 32
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert re.search(rf"^http://{ide.address}/#token={ide.token}$", ide.served.output(), re.MULTILINE)
        assert ide.ask("GET", "/api/projects").status == 200
        assert ide.served.stop() == 0
    with serving(file) as again:
        assert again.token == ide.token


def test_a_token_of_the_file_is_the_token(tmp_path):
    with serving(written(tmp_path, auth={"token": "of-the-file"})) as ide:
        assert ide.token == "of-the-file"
        assert not (tmp_path / "data" / "token").exists()


def test_without_a_token_hosts_and_origins_are_still_asked(tmp_path):
    file = written(tmp_path, auth={"mode": "none"})
    command = [sys.executable, "-P", "-m", "hotpath.ide", "serve", "-c", str(file), "--listen", "127.0.0.1:0"]
    with launched(command) as served:
        served.wait_for(rf"^http://{served.address}/$")
        assert fetch(served.address, "/api/projects", host=served.address).status == 200
        assert fetch(served.address, "/api/projects", host="evil.example").status == 421
        evil = [("Origin", "http://evil.example")]
        assert fetch(served.address, "/api/projects", "POST", evil, b"{}", host=served.address).status == 403


def test_a_data_directory_has_one_server(tmp_path):
    file = written(tmp_path)
    with serving(file) as ide:
        second = run("serve", "-c", str(file), "--listen", "127.0.0.1:0", cwd=tmp_path)
        assert second.returncode == 1
        assert "another server has this data directory" in second.stderr + second.stdout
        assert ide.ask("GET", "/api/projects").status == 200


def test_a_preview_address_that_is_taken_is_said_with_its_key(tmp_path):
    file = written(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        given = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**given, "preview": {"listen": f"127.0.0.1:{port}"}}))
        served = run("serve", "-c", str(file), "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert served.returncode == 1
    assert f"preview.listen: address already in use: 127.0.0.1:{port}" in served.stderr


def test_without_a_bucket_a_backup_says_so(tmp_path):
    file = written(tmp_path)
    for words in (["backup", "a" * 12], ["restore", "a" * 12]):
        ended = run(*words, "-c", str(file), cwd=tmp_path)
        assert ended.returncode == 1
        assert "backup" in ended.stderr
        assert "Traceback" not in ended.stderr
