"""How much the programs of a project may use in a container; and what happens to the project when they want more."""
import secrets
import signal
from contextlib import closing, suppress
from dataclasses import replace

import docker
import pytest

from hotpath.ide.errors import SandboxFailed
from tests.ide.sandbox.docking import Screen, home, output, shell
from tests.ide.spaces import until

pytestmark = pytest.mark.timeout(900)       # the first of a machine waits for the image

MIB = 1024**2


@pytest.fixture(scope="module")
def project(docker_python, tmp_path_factory):
    limits = {"memory": 96 * MIB, "pids": 40, "nofile": 100, "file_size": 2 * MIB, "tmp": 3 * MIB, "cpus": 0.5}
    with home(tmp_path_factory.mktemp("docker") / "data", **limits) as one:
        yield one


def test_whoever_takes_too_much_memory_is_killed_and_the_project_goes_on(project):
    def act(running):
        with Screen(running.spawn(["bash", "-i"], 80, 24)) as shell_before:
            shell_before.until("$ ")
            taken = output(running, "python3", "-c", f"print('before', flush=True); bytearray({200 * MIB})")
            assert taken == ("before\n", -signal.SIGKILL)
            shell_before.type("echo al''ive\n")
            shell_before.until("alive")
            assert not running.gone.is_set
    project.inside(act)


FORKS = """
import os, signal, time
n = 0
try:
    while n < 500:
        if not os.fork():
            time.sleep(600)
        n += 1
except BlockingIOError:
    pass
print("forked", n, flush=True)
time.sleep(600)
"""


def fill(running):
    for _ in range(40):
        running.spawn(["sleep", "600"], 80, 24)


def test_processes_run_out_and_what_took_them_can_still_be_ended(project):
    def act(running):
        with Screen(running.spawn(["python3", "-c", FORKS], 80, 24)) as bomb:
            bomb.until("forked ")
            assert 20 <= int(bomb.until("\r\n")) < 40
            with pytest.raises(SandboxFailed, match="no program can be started"):
                fill(running)
            bomb.spawned.kill(signal.SIGKILL)
            assert bomb.status() == -signal.SIGKILL

        def has_room() -> bool:
            with suppress(SandboxFailed):       # those that it forked end a moment later
                return output(running, "true")[1] == 0
            return False

        until(has_room, "room")
    project.inside(act)


@pytest.mark.parametrize(("script", "says"), [
    ("head -c 4000000 /dev/zero > large", "File size limit exceeded"),
    ("head -c 4000000 /dev/zero | split -b 500000 - /tmp/part", "No space left on device"),
    ("python3 -c 'files = [open(\"/dev/null\") for _ in range(200)]'", "Too many open files"),
])
def test_files_run_out(project, script, says):
    said, status = project.inside(lambda running: output(running, "bash", "-c", script))
    assert says in said or (says.startswith("File size") and status in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ, 1))
    assert status != 0


def test_what_an_image_would_keep_on_the_machines_disk_is_as_small_as_tmp(project, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM hotpath/python:local\nVOLUME /var/lib/data /tmp /workspace\n")
    image = f"hotpath/test-{secrets.token_hex(4)}"
    with closing(docker.from_env(version="auto")) as client:
        client.images.build(path=str(tmp_path), tag=image)
        try:
            spec = replace(project.spec, template=replace(project.spec.template, image=image))

            def act(sandbox):
                running = sandbox.start(spec)
                assert shell(running, "head -c 1000000 /dev/zero > /var/lib/data/some && ls /var/lib/data") == "some\n"
                said, _ = output(running, "sh", "-c", "head -c 4000000 /dev/zero | split -b 500000 - /var/lib/data/x")
                assert "No space left on device" in said
                mounts = client.containers.get(project.called).attrs["Mounts"]
                assert {mount["Type"] for mount in mounts} == {"bind"}
                sandbox.remove(spec.id)
            project.serve(act)
        finally:
            client.images.remove(image, force=True)


def test_processors_are_shared_out(project):
    def act(running):
        quota = shell(running, "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us "
                               "2> /dev/null || cat /sys/fs/cgroup/cpu.max").split()
        assert int(quota[0]) / int(quota[1]) == 0.5
    project.inside(act)
