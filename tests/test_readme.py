"""What the README shows does what it says."""
import json
import re
import runpy
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from hotpath.core.serve.testing import launched, serving
from tests.chat.ups import chat_up
from tests.ide.paths import public_folder
from tests.ide.servers import serving as serving_ide
from tests.ide.servers import written
from tests.locking.web.servers import serving as serving_locking

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def block(language: str, word: str) -> str:
    """The block in `language` that has `word` in it."""
    found, = [text for name, text in BLOCKS if name == language and word in text]
    return found


def test_the_ring_owns_keys():
    names: dict[str, object] = {}
    exec(block("python", "ring = Ring"), names)
    assert names["ring"].owner("user:42") in {"a", "b", "c", "d"}


def test_the_server_answers_and_echoes(tmp_path):
    (tmp_path / "app.py").write_text(block("python", "app = Router()"))
    app = runpy.run_path(str(tmp_path / "app.py"), run_name="app")["app"]
    with serving(app) as served:
        with urllib.request.urlopen(f"http://{served.address}/v1/items/7") as answer:
            assert json.load(answer)["id"] == 7
        with connect(f"ws://{served.address}/v1/live", origin="https://shop.example") as socket:
            socket.send("hello")
            assert socket.recv(timeout=10) == "hello"


def test_two_dictionaries_agree():
    exec(block("python", "LWWDict"), {})


def test_others_run_on_ours():
    code = f"""{block("python", "install()")}
import h11, wsproto
print(h11.Connection.__module__, wsproto.WSConnection.__module__)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert all(module.startswith("hotpath.") for module in done.stdout.split())


def test_the_configuration_is_accepted(tmp_path):
    (tmp_path / "proxy.yaml").write_text(block("yaml", "upstreams:"))
    command = [str(Path(sys.executable).with_name("hotpath-proxy")), "-c", str(tmp_path / "proxy.yaml"), "-t"]
    assert subprocess.run(command, check=False).returncode == 0


def test_the_chat_answers_as_shown(tmp_path):
    with chat_up(tmp_path / "data") as up:
        script = block("bash", "/messages").replace("http://127.0.0.1:8065", up.url)
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines()]
    assert answers[0]["admin"] is True
    assert answers[3] == answers[4] == answers[5]["messages"][0]
    assert answers[3]["text"] == "green?"


def test_the_tally_is_three(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(block("python", "hotpath.locking"), {})


def test_the_items_answer_as_shown(tmp_path):
    with serving_locking("--data", str(tmp_path / "data")) as server:
        script = block("bash", "counters/visits").replace("http://127.0.0.1:8090", f"http://{server.address}")
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    made, changed, stale, lock, locked, counter = (
        json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines())
    assert (made["version"], changed["version"], counter["value"]) == (1, 2, 1)
    assert (stale["status"], stale["version"], locked["status"], lock["owner"]) == (412, 2, 423, "ada")


def test_the_ide_answers_as_shown():
    with public_folder() as folder, serving_ide(written(folder)) as ide:
        (folder / "ide-data").symlink_to(folder / "data")
        script = block("bash", "ide-data/token").replace("http://127.0.0.1:8086", ide.url)
        done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=True)
        read, found, ran, ports = re.fullmatch(r"(green\?)(\{.*\})(\{.*\})(\{.*\})", done.stdout).groups()
        assert read == "green?"
        assert json.loads(found)["matches"][0]["path"] == "tea.txt"
        assert json.loads(ran)["kind"] == "run"
        assert "ports" in json.loads(ports)


def test_the_shards_answer_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [str(Path(sys.executable).with_name("hotpath-shard")), "serve", "--listen", "127.0.0.1:0"]
    with launched(command) as served:
        script = block("bash", "/v1/tables").replace("http://127.0.0.1:8320", f"http://{served.address}")
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    made, many, row, page, sums = (json.loads(text) for text in re.findall(r"^.+$", done.stdout.replace(
        "}{", "}\n{"), re.MULTILINE))
    assert (made["id"], made["likes"]) == (7, 0)
    assert many == {"inserted": 2, "failed": []}
    assert row == {**made, "likes": 1}
    assert [one["title"] for one in page["rows"]] == ["white", "green?"]
    assert sums == {"count": 3, "sum(likes)": 1}


def test_a_cluster_grows_in_a_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "shard" / "blog.yaml", "shard.yaml")
    exec(block("python", "Cluster.open"), {})


@pytest.mark.parametrize("command", re.findall(r"\.venv/bin/(hotpath-\w+)", README))
def test_the_commands_exist(command):
    argv = [str(Path(sys.executable).with_name(command)), "--help"]
    assert command in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_the_links_lead_somewhere():
    assert [link for link in re.findall(r"\]\(([\w./]+)\)", README) if not (ROOT / link).exists()] == []
