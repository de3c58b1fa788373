"""How long a project's container lives: across servers, engines that are lost, and changes of the configuration."""
from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace

import pytest

from hotpath.ide.errors import SandboxFailed
from hotpath.ide.sandbox.docker import DockerSandbox
from hotpath.ide.templates import BUILT_IN
from tests.ide.sandbox.docking import WITHIN_S, Home, Line, Screen, home, output, shell
from tests.ide.spaces import until
from tests.waiting import running as process
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(900)       # the first of a machine waits for the image


@pytest.fixture(scope="module")
def client(docker_python):
    import docker
    with closing(docker.from_env(version="auto")) as client:
        yield client


@pytest.fixture
def project(docker_python, tmp_path):
    with home(tmp_path / "data") as one:
        yield one


def containers(client, project):
    found = client.api.containers(all=True, filters={"name": project.called})
    return {container["Names"][0].removeprefix("/"): container["State"] for container in found}


def test_files_stay_when_it_is_stopped_and_all_else_goes(project, client):
    def act(sandbox):
        running = sandbox.start(project.spec)
        shell(running, "echo kept > kept.txt; echo gone > /tmp/gone.txt")
        running.stop()
        assert (running.gone.is_set, running.why) == (True, "")
        assert containers(client, project) == {project.called: "exited"}
        running.stop()      # twice is once
        again = sandbox.start(project.spec)
        assert shell(again, "cat kept.txt; ls /tmp") == "kept\n"
        sandbox.remove(project.spec.id)
        assert containers(client, project) == {}
        sandbox.remove(project.spec.id)
    project.serve(act)


SERVER = """
import signal, sys
from pathlib import Path
from hotpath.core.tasks import run, sleep
from hotpath.ide.config import IdeConfig, SandboxConfig
from hotpath.ide.sandbox import Spec
from hotpath.ide.sandbox.docker import DockerSandbox
from hotpath.ide.templates import BUILT_IN

def main():
    data, id = sys.argv[1:]
    sandbox = DockerSandbox(IdeConfig(data=data, sandbox=SandboxConfig(kind="docker")))
    spec = Spec(id, Path(data, "projects", id), BUILT_IN["python"])
    running = sandbox.start(spec)
    running.spawn(["sh", "-c", "setsid python3 -m http.server 8000 & exec sleep 1111"], 80, 24)
    running.spawn(["bash", "-i"], 80, 24)
    sandbox.once(spec, ["sleep", "2222"], 80, 24)
    while not running.ports():
        sleep(0.05)
    print("stands", flush=True)
    sleep(600)

run(main)
"""


def test_it_outlives_a_server_that_was_killed_and_the_next_takes_it_up(project, client):
    gone = project.project()
    with process([sys.executable, "-P", "-c", SERVER, str(project.config.folder), project.spec.id]) as server, \
            process([sys.executable, "-P", "-c", SERVER, str(project.config.folder), gone.id]) as other:
        server.wait_for_output("stands", WITHIN_S)
        other.wait_for_output("stands", WITHIN_S)
    before = client.containers.get(project.called)
    assert len(containers(client, project)) == 2        # with the one-shot

    def act(sandbox):
        adopted = sandbox.adopt([project.spec])
        assert list(adopted) == [project.spec.id]
        running = adopted[project.spec.id]
        # What has no terminal goes on; what was on one could be reached by nobody.
        assert [port.port for port in running.ports()] == [8000]
        alive = shell(running, "ps -e -o args=")
        assert "http.server" in alive
        assert "sleep 1111" not in alive
        assert "bash -i" not in alive
        assert output(running, "echo", "new") == ("new\n", 0)
        assert containers(client, project) == {project.called: "running"}
        assert client.containers.get(project.called).id == before.id
        # Of a project that is no more, nothing is left.
        assert not client.containers.list(all=True, filters={"name": f"hotpath-ide-{gone.id}"})
        running.stop()
    project.serve(act)


def test_it_is_made_anew_when_its_configuration_changed(project, client):
    project.inside(lambda running: None)
    before = client.containers.get(project.called).id
    changed = project.but(pids=99)

    def forbidden_by_now(sandbox):
        assert sandbox.adopt([project.spec]) == {}      # it may do what it may not any more
        assert containers(client, project) == {}
        sandbox.start(project.spec)
    project.serve(forbidden_by_now, changed)
    container = client.containers.get(project.called)
    assert container.id != before
    assert container.attrs["HostConfig"]["PidsLimit"] == 99

    def act(sandbox):
        assert list(sandbox.adopt([project.spec])) == [project.spec.id]     # nothing changed
        assert list(sandbox.adopt([replace(project.spec, template=BUILT_IN["web"])])) == []
    project.serve(act, changed)


def test_containers_of_other_data_folders_are_left_alone(project, client, tmp_path):
    project.inside(lambda running: None)
    with home(tmp_path / "other") as other:
        stranger = replace(other.spec, id=project.spec.id)

        def act(sandbox):
            sandbox.adopt([])
            with pytest.raises(SandboxFailed, match=f"docker rm -f {project.called}"):
                sandbox.start(stranger)
            sandbox.remove(project.spec.id)
        other.serve(act)
    assert containers(client, project) == {project.called: "running"}


def test_whoever_stops_it_from_outside_is_noticed(project, client):
    def act(sandbox):
        running = sandbox.start(project.spec)
        with Screen(running.spawn(["sleep", "600"], 80, 24)) as screen:
            client.containers.get(project.called).kill()
            until(lambda: running.gone.is_set, "the end")
            assert "stopped by somebody else" in running.why
            assert screen.status() == -9
        assert shell(sandbox.start(project.spec), "echo again") == "again\n"
        client.containers.get(project.called).remove(force=True)
        assert shell(sandbox.start(project.spec), "echo anew") == "anew\n"
        client.containers.get(project.called).pause()
        assert shell(sandbox.start(project.spec), "echo awake") == "awake\n"
    project.serve(act)


# ---- an engine that is down

@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


def test_an_engine_that_is_lost_ends_nothing_for_good(project, line):
    def act(sandbox):
        running = sandbox.start(project.spec)
        with Screen(running.spawn(["sleep", "600"], 80, 24)) as screen:
            line.cut()
            until(lambda: running.gone.is_set, "the loss to be noticed")
            assert "no Docker engine answers" in running.why
            assert screen.status() == -9
            assert screen.rest() == ""
        with pytest.raises(SandboxFailed, match="no Docker engine answers"):
            sandbox.start(project.spec)
        assert "systemctl start docker" in sandbox.missing(project.spec.template)
        line.mend()
        assert shell(sandbox.start(project.spec), "ps -e -o args= | grep -c '[s]leep 600' || true") == "0\n"
    project.serve(act, project.but(docker_host=line.url))


def test_a_connection_that_is_lost_is_made_again(project, line):
    def act(sandbox):
        running = sandbox.start(project.spec)
        with Screen(running.spawn(["sh", "-c", "read _; exit 4"], 80, 24)) as screen:
            line.drop_events()
            screen.type("\n")
            assert screen.status() == 4
            assert not running.gone.is_set
    project.serve(act, project.but(docker_host=line.url))


def test_no_engine_says_what_helps(docker_python, tmp_path):
    nowhere = f"unix://{tmp_path}/none.sock"

    def act(sandbox):
        assert "no Docker engine answers" in sandbox.missing(BUILT_IN["python"])
        assert sandbox.adopt([project.spec]) == {}
        with pytest.raises(SandboxFailed, match=r"systemctl start docker.*sandbox\.docker_host"):
            sandbox.start(project.spec)
    with home(tmp_path / "data") as project:
        project.serve(act, project.but(docker_host=nowhere))


def test_an_engine_that_is_silent_keeps_nobody(project, tmp_path, monkeypatch):
    monkeypatch.setattr("hotpath.ide.sandbox.docker.sandbox.ASK_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()

        def act(sandbox):
            assert sandbox.adopt([project.spec]) == {}
            assert "does not answer in time" in sandbox.missing(BUILT_IN["python"])
            assert sandbox.missing(BUILT_IN["node"]) == sandbox.missing(BUILT_IN["python"])     # asked once for all
        project.serve(act, project.but(docker_host=f"unix://{tmp_path}/silent.sock"))


def test_what_is_known_of_an_image_is_not_asked_again_at_once(project, line):
    def act(sandbox):
        assert sandbox.missing(BUILT_IN["python"]) is None
        calls = line.calls
        assert calls
        assert sandbox.missing(BUILT_IN["python"]) is sandbox.missing(BUILT_IN["web"]) is None
        assert line.calls == calls
    project.serve(act, project.but(docker_host=line.url))


@pytest.mark.parametrize(("image", "helps"), [
    ("hotpath/none:local", "hotpath-ide images none"), ("nobody/none:1", "docker pull nobody/none:1"),
    ("", r"templates\.python\.image")])
def test_an_image_that_is_not_there_is_named(project, image, helps):
    spec = replace(project.spec, template=replace(project.spec.template, image=image))

    def act(sandbox):
        with pytest.raises(SandboxFailed, match=helps):
            sandbox.start(spec)
        assert helps.replace("\\", "") in sandbox.missing(spec.template)
    project.serve(act)


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:2375", "unix://relative.sock", "ssh://host", f"unix:///{'x' * 120}"])
def test_an_engine_that_is_not_here_is_refused(tmp_path, url):
    with pytest.raises(ValueError, match=r"sandbox\.docker_host.*allowed"):
        DockerSandbox(Home(tmp_path, docker_host=url).config)


# ---- one-shot containers

def test_set_up_and_packages_have_a_network_and_a_container_of_their_own(project, client):
    wheels = project.files / "wheels"
    wheels.mkdir()
    make_wheel(wheels)
    spec = project.with_env({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/workspace/wheels"})

    def act(sandbox):
        running = sandbox.start(spec)
        assert shell(running, "ls /sys/class/net") == "lo\n"
        for command in (spec.template.setup, spec.template.install_command(["tiny"]), "ls /sys/class/net"):
            with Screen(sandbox.once(spec, ["sh", "-c", command], 80, 24)) as screen:
                said = screen.rest()
                assert screen.status() == 0, said
        assert said.split() == ["eth0", "lo"]
        assert shell(running, "python -c 'import tiny; print(tiny.SIZE)'; which python") == (
            "small\n/workspace/.venv/bin/python\n")
        until(lambda: list(containers(client, project)) == [project.called], "the one-shots' end")
    project.serve(act)


def test_a_one_shot_that_is_killed_leaves_no_container(project, client):
    def act(sandbox):
        with Screen(sandbox.once(project.spec, ["sh", "-c", "sleep 600 & sleep 600"], 80, 24)) as screen:
            assert len(containers(client, project)) == 1
            screen.spawned.kill(15)
            assert screen.status() == -15
        until(lambda: not containers(client, project), "its end")
        with Screen(sandbox.once(project.spec, ["/no/such/program"], 80, 24)) as screen:
            assert screen.status() == 127
        until(lambda: not containers(client, project), "its end")
    project.serve(act)


def test_a_one_shot_ends_with_its_server(project, client):
    project.serve(lambda sandbox: sandbox.once(project.spec, ["sleep", "600"], 80, 24))
    wait_for(lambda: not containers(client, project), "its end")


def make_wheel(folder):
    """tiny-1.0, which nobody else has."""
    source = folder.parent.parent / "tiny"
    source.mkdir()
    (source / "tiny.py").write_text("SIZE = 'small'\n")
    (source / "setup.py").write_text(textwrap.dedent("""
        from setuptools import setup
        setup(name="tiny", version="1.0", py_modules=["tiny"])
    """))
    subprocess.run([sys.executable, "-P", "setup.py", "-q", "bdist_wheel", "-d", str(folder)], cwd=source, check=True,
                   capture_output=True)
