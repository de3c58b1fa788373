"""A chat on more machines: gateways elsewhere on the same MySQL and Redis, and what a Redis Cluster does for it."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from websockets.sync.client import connect

from tests.chat.parts import REAL, real_parts
from tests.chat.ups import UP_WITHIN_S, chat_up
from tests.scratch import scratch
from tests.waiting import free_port, running, wait_for

GATEWAY = [sys.executable, "-P", "-m", "hotpath.chat", "gateway"]


@pytest.fixture
def folder():
    with scratch("chat-") as folder:
        yield folder


def received(up, token, channel, exclude=()):
    """The gateway that a client gets, and what of a message comes to it there."""
    way = up.ask("POST", "/api/connect", {"exclude": list(exclude)}, token=token).body
    with connect(f"{way['url']}?ticket={way['ticket']}") as socket:
        socket.send(json.dumps({"type": "start", "epoch": None, "since": {}}))
        while json.loads(socket.recv(timeout=20))["type"] != "ready":
            pass
        message = {"text": "green?", "client_msg_id": "m1"}
        assert up.ask("POST", f"/api/channels/{channel}/messages", message, token=token).status == 201
        while (event := json.loads(socket.recv(timeout=20)))["type"] != "event":
            pass
    return way["gateway"], event["data"]["text"]


def test_a_gateway_on_another_machine_serves_the_same_chat(folder):
    with real_parts(REAL, folder) as parts:
        flags = [f"--database={parts.config['database']['url']}", f"--redis={parts.config['redis']['url']}"]
        here, there = folder / "here", folder / "there"
        with chat_up(here, *flags) as up:
            # What a ticket is signed with: the one file that machines share.
            there.mkdir(mode=0o700)
            shutil.copy(here / "secret", there)
            address = f"127.0.0.1:{free_port()}"
            command = [*GATEWAY, "--id", "g3", "--data", str(there), "--listen", address, "--origin", up.url, *flags]
            with running(command) as gateway:
                gateway.wait_for_output(r"^ready: pid \d+, ", UP_WITHIN_S)
                _, token = up.user("ada")
                channel = up.ask("POST", "/api/channels", {"kind": "public", "name": "tea"}, token=token).body["id"]
                wait_for(lambda: up.ask("POST", "/api/connect", {"exclude": ["g1", "g2"]}, token=token)
                         .body.get("gateway") == "g3", "the API to hear of it")
                assert received(up, token, channel, ["g1", "g2"]) == ("g3", "green?")


@pytest.fixture
def redis_cluster(folder):
    """Three nodes; the port of each."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    ports = [free_port() for _ in range(3)]
    processes = [running(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes",
                          "--cluster-port", str(free_port()), "--cluster-config-file", str(folder / f"nodes-{port}"),
                          "--save", "", "--dir", str(folder)]) for port in ports]
    for process in processes:
        process.__enter__().wait_for_output("Ready to accept connections")
    try:
        subprocess.run(["redis-cli", "--cluster", "create", *(f"127.0.0.1:{port}" for port in ports), "--cluster-yes"],
                       check=True, capture_output=True, timeout=60)
        for port in ports:
            wait_for(lambda port=port: "cluster_state:ok" in cli(port, "CLUSTER", "INFO"), "the cluster")
        yield ports
    finally:
        for process in processes:
            process.__exit__(None, None, None)


def cli(port, *words):
    return subprocess.run(["redis-cli", "-p", str(port), *words], check=True, capture_output=True, text=True).stdout


def test_a_redis_cluster_carries_a_chat_whose_keys_share_a_slot(folder, redis_cluster):
    """By the node that has the slot; events reach it whichever node they are published on."""
    slot = int(cli(redis_cluster[0], "CLUSTER", "KEYSLOT", "{hp}"))
    owner = next(int(line.split()[1].split("@")[0].split(":")[1])
                 for line in cli(redis_cluster[0], "CLUSTER", "NODES").splitlines() if has(line, slot))
    config = folder / "chat.yaml"
    config.write_text(json.dumps({"redis": {"url": f"redis://127.0.0.1:{owner}/0", "prefix": "{hp}:"}}))
    with chat_up(folder / "data", "--config", str(config)) as up:
        _, token = up.user("ada")
        channel = up.ask("POST", "/api/channels", {"kind": "public", "name": "tea"}, token=token).body["id"]
        gateway, text = received(up, token, channel)
        assert text == "green?"
        assert "redis away" not in up.process.read()
        assert cli(owner, "EXISTS", "{hp}:" + f"gw:{gateway}") == "1\n"


def has(line, slot):
    """Whether a line of CLUSTER NODES names the slot."""
    for word in line.split()[8:]:
        first, _, last = word.partition("-")
        if first.isdecimal() and int(first) <= slot <= int(last or first):
            return True
    return False
