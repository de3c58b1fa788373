"""The whole house in containers, from images made here: what people do through the front door, and what breaks."""
from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
from websockets.sync.client import connect

from tests.chat.ups import ask
from tests.deploy.composing import OURS
from tests.deploy.images import build
from tests.deploy.shipped import COMPOSE
from tests.engine import docker_engine  # noqa: F401
from tests.ide.engines import docker_python, sweep  # noqa: F401
from tests.scratch import scratch
from tests.waiting import free_port, wait_for

# Images, then a dozen containers, on a machine that others use too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PROGRAM = shutil.which("docker-compose")


class House:
    """Its containers, and the way in."""

    def __init__(self, project: str, answers: dict[str, str]) -> None:
        self.project = project
        self.answers = answers
        self.front = f"http://{answers['HOTPATH_FRONT']}"
        self._ids: dict[str, str] = {}

    def compose(self, *words: str, check: bool = True) -> str:
        """docker-compose, as a person would."""
        done = subprocess.run([PROGRAM, "-p", self.project, "-f", str(COMPOSE / "compose.yaml"), *words],
                              env={**os.environ, **self.answers}, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-5000:])
        return done.stdout

    def inside(self, name: str, *words: str, check: bool = True) -> str:
        """What a command in a container says."""
        done = subprocess.run(["docker", "exec", self.container(name), *words], capture_output=True, text=True,
                              check=False)
        assert not check or done.returncode == 0, (words, done.stderr)
        return done.stdout

    def container(self, name: str) -> str:
        """Its id, which a restart leaves as it is; to ask for it takes a second."""
        if name not in self._ids:
            self._ids[name] = self.compose("ps", "-q", name).strip()
        return self._ids[name]

    def health(self, name: str) -> str:
        """What the engine thinks of it."""
        return docker("inspect", "--format", "{{.State.Health.Status}}", self.container(name)).strip()

    def network(self, way: str, name: str) -> None:
        """`disconnect` a container from all others, or `connect` it."""
        more = ["--alias", name] if way == "connect" else []
        docker("network", way, *more, f"{self.project}_default", self.container(name))

    def get(self, path: str) -> str:
        """What a GET through the front door answers; empty for an error."""
        try:
            with urllib.request.urlopen(self.front + path, timeout=20) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            return ""

    def put(self, path: str, body: str) -> None:
        """A PUT through the front door."""
        request = urllib.request.Request(self.front + path, body.encode(), {"Content-Type": "application/octet-stream"},
                                         method="PUT")
        urllib.request.urlopen(request, timeout=20).close()


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def house(docker_engine, docker_python):  # noqa: F811
    if PROGRAM is None:
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    images = build()
    with scratch("ide-") as data:
        os.chown(data, 1000, 1000)
        house = House(f"hotpath-test-{secrets.token_hex(4)}", {
            **images,
            **{name: secrets.token_hex(12) for name in ("MYSQL_ROOT_PASSWORD", "MYSQL_PASSWORD", "CRDT_TOKEN")},
            "DOCKER_GID": str(os.stat("/var/run/docker.sock").st_gid), "IDE_DATA": str(data),
            "HOTPATH_FRONT": f"127.0.0.1:{free_port()}", "HOTPATH_PREVIEW": f"127.0.0.1:{free_port()}"})
        try:
            house.compose("up", "--no-build", "--detach")
            for name in OURS:
                wait_for(lambda name=name: house.health(name) == "healthy", f"{name} to be healthy", within_s=120)
            yield house
        finally:
            house.compose("down", "--volumes", "--timeout", "5", check=False)
            sweep(data)


def test_people_talk_in_the_chat(house):
    api = f"{house.front}/chat"
    assert ask(api, "POST", "/api/users", {"name": "ada", "password": "correct horse"}).status == 201
    token = ask(api, "POST", "/api/login", {"name": "ada", "password": "correct horse"}).body["token"]
    channel = ask(api, "POST", "/api/channels", {"kind": "public", "name": "tea"}, token=token).body
    way = ask(api, "POST", "/api/connect", {}, token=token).body
    assert way["url"].startswith(house.front.replace("http", "ws") + "/chat/gateways/g")
    with connect(f"{way['url']}?ticket={way['ticket']}", origin=house.front) as socket:
        socket.send(json.dumps({"type": "start", "epoch": None, "since": {}}))
        while json.loads(socket.recv(timeout=20))["type"] != "ready":
            pass
        sent = ask(api, "POST", f"/api/channels/{channel['id']}/messages", {"text": "green?", "client_msg_id": "m1"},
                   token=token)
        assert sent.status == 201
        while (event := json.loads(socket.recv(timeout=20)))["type"] != "event":
            pass
        assert event["data"]["text"] == "green?"


def test_rows_are_on_both_servers(house):
    rows = [{"id": n, "author": "ada", "title": f"tea {n}"} for n in range(1, 101)]
    assert ask(f"{house.front}/shard", "POST", "/v1/tables/posts", rows).body == {"inserted": 100, "failed": []}
    cluster = json.loads(house.get("/shard/v1/cluster"))
    assert cluster["backend"] == "dsn"
    counts = {shard["name"]: shard["rows"]["posts"] for shard in cluster["shards"]}
    assert sum(counts.values()) == 100
    assert min(counts.values()) > 10


def test_a_replica_that_was_cut_off_comes_to_agree(house):
    token = house.answers["CRDT_TOKEN"]

    def read(name, key):
        return house.inside(name, "curl", "-fsS", "-H", f"Authorization: Bearer {token}",
                            f"http://127.0.0.1:8091/kv/{key}", check=False)

    def write(name, key):
        house.inside(name, "curl", "-fsS", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "-d", key,
                     "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:8091/kv/{key}?upsert=true")

    house.put("/crdt/kv/before?upsert=true", "1")
    for name in ("crdt-a", "crdt-b", "crdt-c"):
        wait_for(lambda name=name: read(name, "before") == "1", f"{name} to hear of it")
    house.network("disconnect", "crdt-c")
    try:
        write("crdt-c", "there")
        write("crdt-a", "here")
        wait_for(lambda: read("crdt-b", "here") == "here", "b to hear of it")
        assert (read("crdt-c", "here"), read("crdt-a", "there")) == ("", "")
        # The door goes round it.
        wait_for(lambda: house.get("/crdt/kv/here") == "here", "the front door", 60)
    finally:
        house.network("connect", "crdt-c")
    wait_for(lambda: read("crdt-c", "here") == "here" and read("crdt-a", "there") == "there", "all to agree", 60)


def test_nobody_without_the_token_reaches_a_replica_past_the_door(house):
    said = house.inside("chat", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://crdt-a:8091/kv/before")
    assert said == "401"


def test_items_have_versions(house):
    made = ask(f"{house.front}/locking", "POST", "/items", {"title": "tea"})
    assert (made.status, made.body["version"]) == (201, 1)


def test_a_project_has_a_container(house):
    token = re.search(r"#token=(\S+)", house.compose("logs", "ide"))[1]
    made = ask(f"{house.front}/ide", "POST", "/api/projects", {"name": "tea", "template": "python", "start": True},
               token=token)
    assert made.status == 201
    assert (made.body["sandbox"], made.body["state"], made.body["error"]) == ("docker", "running", None)
    ask(f"{house.front}/ide", "POST", f"/api/projects/{made.body['id']}/run", {"command": "id -u > who"}, token=token)
    who = wait_for(lambda: _read(house, token, made.body["id"], "who"), "what it wrote")
    assert who == "1000\n"
    assert ask(f"{house.front}/ide", "DELETE", f"/api/projects/{made.body['id']}?purge=1", token=token).status == 204


def _read(house, token, project, path):
    request = urllib.request.Request(f"{house.front}/ide/api/projects/{project}/file?path={path}",
                                     headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError:
        return ""


def test_the_door_reloads_in_place(house):
    house.compose("kill", "-s", "HUP", "proxy")
    wait_for(lambda: "reloaded generation=2" in house.compose("logs", "proxy"), "the reload")
    assert "hotpath" in house.get("/")
    assert house.compose("ps", "-q", "proxy").strip() == house.container("proxy")
    assert house.health("proxy") == "healthy"


def test_what_was_said_is_there_after_a_restart(house):
    house.put("/crdt/kv/kept?upsert=true", "1")
    house.compose("restart", "--timeout", "40", "shard", "crdt-a", "crdt-b", "crdt-c", "mysql", "chat")
    wait_for(lambda: house.get("/crdt/kv/kept") == "1", "the replicas", 60)
    wait_for(lambda: '"tea 7"' in house.get("/shard/v1/tables/posts/7"), "the shards", 60)

    api = f"{house.front}/chat"

    def found():
        got = ask(api, "POST", "/api/login", {"name": "ada", "password": "correct horse"})
        return got.status == 200 and ask(api, "GET", "/api/search?q=green", token=got.body["token"]).body

    assert wait_for(found, "the chat", 90)["hits"][0]["text"] == "green?"
