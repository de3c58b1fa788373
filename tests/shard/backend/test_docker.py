import os
import secrets
import socket
import subprocess
import time
from pathlib import Path

import pytest

from hotpath.shard.backend import CannotStart, Taken, backend_of
from hotpath.shard.backend.account import Account
from hotpath.shard.backend.docker import Containers
from hotpath.shard.backend.login import ask
from hotpath.shard.config import DockerConfig, ShardConfig
from tests.engine import PATH
from tests.waiting import wait_for

# The first container of a machine waits for its image: pulled, or built.
pytestmark = pytest.mark.timeout(900)
LABEL = "hotpath.shard"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docker") / "data"


@pytest.fixture(scope="module")
def config(folder: Path) -> ShardConfig:
    return ShardConfig(cluster=f"t{secrets.token_hex(4)}", backend="docker", data=str(folder), shards=2,
                       docker=DockerConfig(memory=256 * 1024**2))


@pytest.fixture(scope="module")
def backend(docker_engine: None, config: ShardConfig):
    backend = Containers(config)
    try:
        backend.up(("s0", "s1"), soon())
        yield backend
    finally:
        for name in backend.all():
            backend.purge(name)
        backend.forget()
        assert not Path(config.data).exists()


@pytest.fixture
def client(backend):
    import docker
    client = docker.from_env(version="auto")
    yield client
    client.close()


def soon() -> float:
    return time.monotonic() + 120


def called(config: ShardConfig, name: str) -> str:
    return f"hotpath-{config.cluster}-{name}"


def test_the_configuration_names_it():
    assert isinstance(backend_of(ShardConfig(backend="docker")), Containers)


def test_a_container_is_what_the_contract_says(backend, client, config):
    container = client.containers.get(called(config, "s0"))
    assert container.labels[LABEL] == config.cluster
    host = container.attrs["HostConfig"]
    bindings = host["PortBindings"]
    assert list(bindings) == ["3306/tcp"]
    assert [binding["HostIp"] for binding in bindings["3306/tcp"]] == ["127.0.0.1"]
    assert host["Memory"] == config.docker.memory
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Binds"] == [f"{called(config, 's0')}:/var/lib/mysql:rw"]
    assert client.volumes.get(called(config, "s0")).attrs["Labels"] == {LABEL: config.cluster}


def test_its_server_does_not_run_as_root(backend):
    status = Path(f"/proc/{backend.server('s0').pid}/status").read_text()
    assert "\nUid:\t0" not in status


def test_client_cnf_lets_its_owner_in(backend, config, folder):
    said = subprocess.run(["mariadb", f"--defaults-file={folder / 's0' / 'client.cnf'}", "-Ne",
                           "SELECT CURRENT_USER(), DATABASE(), @@innodb_flush_log_at_trx_commit"],
                          capture_output=True, text=True, check=True, env={"PATH": PATH})
    assert said.stdout.split() == ["root@%", config.cluster, "1"]


def test_no_password_is_on_a_command_line_or_in_a_log(backend, client, config, folder):
    account = Account.read(folder / "s0")
    container = client.containers.get(called(config, "s0"))
    command = Path(f"/proc/{backend.server('s0').pid}/cmdline").read_bytes()
    for secret in (account.password.encode(), account.root_password.encode()):
        assert secret not in command
        assert secret not in container.logs()


def test_a_router_has_its_databases_and_nothing_else(backend):
    endpoint = backend.up(("s0",), soon())["s0"]
    ask(endpoint, "CREATE TABLE its_own (id INT)")
    ask(endpoint, "DROP TABLE its_own")
    assert not [row for row in ask(endpoint, "SHOW GRANTS") if "*.*" in row[0] and "USAGE" not in row[0]]
    assert ask(backend.meta("s0"), "SELECT DATABASE()") == [(backend.meta("s0").database,)]


def test_a_second_up_changes_nothing(backend, config):
    pids = [backend.server(name).pid for name in ("s0", "s1")]
    first = backend.up(("s0", "s1"), soon())
    assert first == Containers(config).up(("s0", "s1"), soon())
    assert [backend.server(name).pid for name in ("s0", "s1")] == pids


def test_a_killed_server_comes_back_on_its_data_and_port(backend):
    endpoint = backend.up(("s1",), soon())["s1"]
    ask(endpoint, "CREATE TABLE kept (id INT)")
    ask(endpoint, "INSERT INTO kept VALUES (7)")
    pid = backend.server("s1").pid
    os.kill(pid, 9)
    wait_for(lambda: backend.server("s1").pid not in (pid, None), "the engine to start it again")
    assert backend.up(("s1",), soon())["s1"] == endpoint
    backend.stop("s1")
    assert not backend.server("s1").up
    backend.stop("s1")          # there is nothing to stop
    assert backend.up(("s1",), soon())["s1"] == endpoint
    assert ask(endpoint, "SELECT id FROM kept") == [(7,)]


def test_a_container_that_somebody_removed_is_made_again_on_its_data(backend, client, config):
    endpoint = backend.up(("s1",), soon())["s1"]
    ask(endpoint, "CREATE TABLE kept_too (id INT)")
    client.containers.get(called(config, "s1")).remove(force=True)
    assert backend.up(("s1",), soon())["s1"] == endpoint
    assert ask(endpoint, "SELECT id FROM kept_too") == []


def test_settings_that_changed_are_applied_after_a_down(backend, client, config):
    other = Containers(ShardConfig(cluster=config.cluster, backend="docker", data=config.data,
                                   docker=DockerConfig(memory=300 * 1024**2)))
    endpoint = backend.up(("s1",), soon())["s1"]
    ask(endpoint, "CREATE TABLE kept_on (id INT)")
    pid = backend.server("s1").pid
    other.up(("s1",), soon())
    assert backend.server("s1").pid == pid
    other.stop("s1")
    assert other.up(("s1",), soon())["s1"] == endpoint
    assert client.containers.get(called(config, "s1")).attrs["HostConfig"]["Memory"] == 300 * 1024**2
    assert ask(endpoint, "SELECT id FROM kept_on") == []
    other.stop("s1")
    backend.up(("s1",), soon())


def test_a_lost_client_cnf_is_written_again(backend, folder):
    before = (folder / "s1" / "client.cnf").read_text()
    (folder / "s1" / "client.cnf").unlink()
    backend.up(("s1",), soon())
    assert (folder / "s1" / "client.cnf").read_text() == before


def test_one_that_ends_while_it_starts_says_why(backend, config, folder):
    bad = Containers(ShardConfig(cluster=config.cluster, backend="docker", data=str(folder),
                                 docker=DockerConfig(args=("--no-such-option",))))
    with pytest.raises(CannotStart, match=r"bad: hotpath-.*-bad ended while it started: .*no-such-option"):
        bad.create("bad")
    bad.purge("bad")
    assert not bad.exists("bad")
    assert bad.all() == ("s0", "s1")


def test_a_container_of_somebody_else_is_refused_and_left_alone(backend, client, config):
    theirs = client.containers.create(client.containers.get(called(config, "s0")).image, name=called(config, "s8"))
    try:
        for change in (backend.create, backend.purge, backend.stop):
            with pytest.raises(Taken, match=f"container {called(config, 's8')} is there already"):
                change("s8")
        assert client.containers.get(called(config, "s8")).id == theirs.id
        assert "s8" not in backend.all()
    finally:
        theirs.remove(v=True)


def test_a_volume_of_somebody_else_is_refused_and_left_alone(backend, client, config):
    theirs = client.volumes.create(called(config, "s8"), labels={LABEL: "another"})
    try:
        with pytest.raises(Taken, match=f"volume {called(config, 's8')} is there already"):
            backend.create("s8")
        assert client.volumes.get(called(config, "s8")).attrs["Labels"] == {LABEL: "another"}
    finally:
        theirs.remove()


def test_a_port_that_somebody_took_while_it_was_down_is_named(backend):
    port = backend.up(("s1",), soon())["s1"].port
    backend.stop("s1")
    with socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        theirs.bind(("127.0.0.1", port))
        theirs.listen()
        with pytest.raises(Taken, match=f"127.0.0.1:{port}"):
            backend.up(("s1",), soon())
    backend.up(("s1",), soon())


def test_data_without_their_passwords_are_not_started_on(backend, client, config, folder):
    backend.create("s7")
    client.containers.get(called(config, "s7")).remove(force=True)
    (folder / "s7" / "client.cnf").unlink()
    with pytest.raises(CannotStart, match="passwords, is gone"):
        backend.create("s7")
    backend.purge("s7")


def test_data_that_are_gone_are_not_made_anew(backend, client, config):
    backend.create("s7")
    client.containers.get(called(config, "s7")).remove(force=True)
    client.volumes.get(called(config, "s7")).remove()
    assert not backend.exists("s7")
    with pytest.raises(CannotStart, match=r"s7: its data, the volume .*-s7, are gone"):
        backend.create("s7")
    backend.purge("s7")


def test_an_image_that_cannot_be_had_is_named(docker_engine, tmp_path):
    image = f"127.0.0.1:1/{secrets.token_hex(4)}:none"
    backend = Containers(ShardConfig(cluster="none", backend="docker", data=str(tmp_path),
                                     docker=DockerConfig(image=image, build="never")))
    with pytest.raises(CannotStart, match=f"docker.image: {image} is not on this machine, and cannot be pulled"):
        backend.up(("s0",), soon())
    backend.purge("s0")


def test_no_engine_says_what_to_start(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(CannotStart, match="no Docker engine answers"):
        Containers(ShardConfig(backend="docker", data=str(tmp_path / "data"))).up(("s0",), soon())
    assert not (tmp_path / "data").exists()
