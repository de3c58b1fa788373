"""The compose file says what docker-compose and our programs understand."""
from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.deploy.composing import ANSWERS, FILE, OURS, services
from tests.deploy.shipped import BIN, COMPOSE, moved
from tests.engine import docker_engine  # noqa: F401

PROGRAM = shutil.which("docker-compose")
# Names of containers mean nothing here, and each server of an upstream is another one.
NAMES = {'"chat:': '"localhost:', '"crdt-a:': '"127.0.0.1:', '"crdt-b:': '"127.0.0.2:', '"crdt-c:': '"127.0.0.3:'}


def test_the_proxy_and_the_six_are_there():
    programs = {services(ANSWERS)[name]["command"][0] for name in OURS}
    assert programs == {f"hotpath-{name}" for name in ("proxy", "chat", "shard", "ide", "crdt", "locking")}


def accepted(folder, name):
    service = services({**ANSWERS, "IDE_DATA": str(folder)})[name]
    configs = moved(folder, COMPOSE, **{"/var/lib/hotpath": str(folder), "unix:/run/hotpath": f"unix:{folder}",
                                        **(NAMES if name == "proxy" else {})})
    program, *words = service["command"]
    words = [word.replace("/etc/hotpath", str(configs)) for word in words]
    done = subprocess.run([str(BIN / program), *words, "--check"], env={**os.environ, **service["environment"]},
                          cwd=folder, capture_output=True, text=True, check=False)
    file, = [word for word in words if word.endswith(".yaml")]
    assert (done.returncode, done.stdout) == (0, f"{file}: ok\n"), done.stderr


@pytest.mark.parametrize("name", [name for name in OURS if name != "ide"])
def test_what_a_service_starts_accepts_its_configuration(tmp_path, name):
    accepted(tmp_path, name)


@pytest.mark.usefixtures("docker_engine")
def test_the_ide_accepts_its_configuration_where_there_is_an_engine(tmp_path):
    accepted(tmp_path, "ide")


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_asked_how_it_is_and_waited_for_while_it_drains(name):
    service = services(ANSWERS)[name]
    assert "healthz" in service["healthcheck"]["test"][-1]
    assert int(service["stop_grace_period"].removesuffix("s")) > 35


def test_nothing_is_published_beyond_this_machine():
    ports = [port for one in services(ANSWERS).values() for port in one.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_example_names_all_that_must_be_told():
    must = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    told = set(re.findall(r"^(\w+)=", (COMPOSE / "example.env").read_text(), re.MULTILINE))
    assert must == set(ANSWERS)
    assert must <= told


@pytest.mark.skipif(PROGRAM is None, reason="docker-compose is not installed: apt-get install docker-compose")
def test_docker_compose_understands_it():
    done = subprocess.run([PROGRAM, "-f", FILE, "--profile", "s3", "config", "--services"],
                          env={**os.environ, **ANSWERS}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(services(ANSWERS))
