"""Shards as containers: MySQL 8.4, or what takes the same environment."""
from __future__ import annotations

import hashlib
import logging
import os
import random
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hotpath.shard.config import ShardConfig
from hotpath.shard.endpoint import Endpoint
from hotpath.shard.schema import quoted

from . import Server
from .account import ROUTER, Account, pattern
from .errors import CannotStart, Taken
from .folder import MARKER, Folder
from .login import TIMEOUT_S, NoLogin, ask, session
from .program import SERVE
from .waiting import PATIENCE_S, POLL_S, after

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

log = logging.getLogger(__name__)

LABEL = "hotpath.shard"         # its value is the cluster: what carries it is ours, and nothing else
MADE = "hotpath.made"           # the hash of the settings that it was made with
INSIDE = "3306/tcp"
DATA = "/var/lib/mysql"
LOCAL = "127.0.0.1"
ENGINE_S = 60                   # the longest that the engine may take for one request
STOP_S = 60                     # then it is killed, and repairs itself when it starts
RESTARTS = 2                    # of a server that dies at once, before we give up on it


class Containers:
    """hotpath-CLUSTER-NAME, with a volume of the same name, for each shard; the map in a database of the first."""

    def __init__(self, config: ShardConfig) -> None:
        self._config = config
        self._cluster = config.cluster
        self._folder = Folder(Path(config.data).absolute(), config.cluster, "docker")
        self._meta_database = f"{config.cluster}_meta"
        self._meta = Endpoint.parse(config.meta) if config.meta is not None else None
        self._connected: tuple[int, docker.DockerClient] | None = None

    @property
    def _client(self) -> docker.DockerClient:
        # A forked child has connections of its own.
        if self._connected is None or self._connected[0] != os.getpid():
            self._connected = os.getpid(), _connect()
        return self._connected[1]

    @contextmanager
    def _engine(self, what: str) -> Iterator[None]:
        """Say whatever the engine refuses of `what`."""
        import docker.errors
        import requests.exceptions
        try:
            yield
        except docker.errors.APIError as error:
            raise CannotStart(f"{what}: the Docker engine refuses: {error.explanation or error}") from None
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise CannotStart(f"{what}: the Docker engine does not answer: {error}") from None

    def exclusive(self, deadline_s: float) -> AbstractContextManager[object]:
        """See Backend."""
        return self._folder.exclusive(deadline_s)

    def begun(self) -> bool:
        """See Backend."""
        return self._folder.is_ours

    def up(self, names: tuple[str, ...], deadline_s: float) -> dict[str, Endpoint]:
        """See Backend. Getting the image is not part of the deadline."""
        with self._engine("backend docker"):
            self._client.ping()     # before anything is made
        with self.exclusive(deadline_s):
            home = self._home(names[0] if names else None)
            names = tuple(dict.fromkeys((*names, *((home,) if home else ()))))
            for name in names:
                self._check_ours(name)
            self._folder.claim(names, home)
            missing = [name for name in names if not self._is_made(name)]
            if missing:
                began_s = time.monotonic()
                image = self._image()
                deadline_s += time.monotonic() - began_s
                for name in missing:
                    self._make(name, image)
            accounts = {name: self._started(name) for name in names}
            for name, account in accounts.items():
                self._ready(name, account, deadline_s)
            return {name: account.endpoint for name, account in accounts.items()}

    def create(self, name: str, dsn: str | None = None) -> Endpoint:
        """See Backend."""
        return self.up((name,), after(PATIENCE_S))[name]

    def stop(self, name: str) -> None:
        """See Backend."""
        with self._engine(name):
            container = self._container(name)
            if container is not None and container.status in ("running", "restarting", "paused"):
                container.stop(timeout=STOP_S)
                log.info("stopped shard=%s container=%s", name, self._called(name))

    def purge(self, name: str, dsn: str | None = None) -> None:
        """See Backend."""
        with self.exclusive(after(PATIENCE_S)), self._engine(name):
            container = self._container(name)
            if container is not None:
                container.remove(force=True, v=True)
            if self._has_volume(name):
                self._client.volumes.get(self._called(name)).remove()
            if (self._folder.room(name) / MARKER).exists():
                shutil.rmtree(self._folder.room(name))

    def forget(self) -> None:
        """See Backend."""
        if self._folder.path.exists():
            with self.exclusive(after(PATIENCE_S)):
                self._folder.remove()

    def server(self, name: str) -> Server:
        """See Backend."""
        try:
            with self._engine(name):
                container = self._container(name)
        except (CannotStart, Taken):
            container = None
        if container is None:
            return Server(self._called(name), None, up=False)
        state = container.attrs["State"]
        return Server(self._called(name), state["Pid"] or None, bool(state["Running"]))

    def meta(self, first: str) -> Endpoint:
        """See Backend."""
        if self._meta is not None:
            return self._meta
        name = self._home(first) or first
        account = Account.read(self._folder.room(name))
        if account is None:
            raise CannotStart(f"{name}: {self._folder.room(name)} knows no server yet; start with `up`")
        return account.endpoint.in_database(self._meta_database)

    def all(self) -> tuple[str, ...]:
        """See Backend."""
        with self._engine(self._cluster):
            ours = f"{LABEL}={self._cluster}"
            found = {container.name for container in self._client.containers.list(all=True, filters={"label": ours})}
            found |= {volume.name for volume in self._client.volumes.list(filters={"label": ours})}
        prefix = self._called("")
        return tuple(sorted(name.removeprefix(prefix) for name in found if name and name.startswith(prefix)))

    def exists(self, name: str) -> bool:
        """Whether its data are there."""
        with self._engine(name):
            return self._has_volume(name)

    # ---- what is ours

    def _home(self, first: str | None) -> str | None:
        return self._folder.home(first, elsewhere=self._meta is not None)

    def _called(self, name: str) -> str:
        return f"hotpath-{self._cluster}-{name}"

    def _container(self, name: str) -> Container | None:
        """Raises Taken if it is somebody else's."""
        import docker.errors
        try:
            container = self._client.containers.get(self._called(name))
        except docker.errors.NotFound:
            return None
        self._check_label("container", name, container.labels)
        return container

    def _has_volume(self, name: str) -> bool:
        """Raises Taken if it is somebody else's."""
        import docker.errors
        try:
            volume = self._client.volumes.get(self._called(name))
        except docker.errors.NotFound:
            return False
        self._check_label("volume", name, volume.attrs.get("Labels") or {})
        return True

    def _check_label(self, what: str, name: str, labels: dict[str, str]) -> None:
        if labels.get(LABEL) != self._cluster:
            raise Taken(f"{name}: the {what} {self._called(name)} is there already, and is not labelled {LABEL}="
                        f"{self._cluster}; rename it, or name the cluster or the shard otherwise")

    def _check_ours(self, name: str) -> None:
        self._folder.check_room(name)
        with self._engine(name):
            self._container(name)
            self._has_volume(name)

    # ---- how it is made

    def _is_made(self, name: str) -> bool:
        """Whether its container is there, as the configuration wants it: one that is down is made anew, on its data."""
        with self._engine(name):
            container = self._container(name)
            if container is None or container.labels.get(MADE) == self._made:
                return container is not None
            if container.status in ("running", "restarting", "paused"):
                log.warning("shard=%s runs with settings of docker that changed since; down and up apply them", name)
                return True
            # What it was made with is written down, whatever became of our file.
            self._write(name, self._account(name, container))
            container.remove(v=True)
            return False

    @property
    def _made(self) -> str:
        docker = self._config.docker
        return hashlib.sha256(repr((docker.image, docker.memory, docker.args)).encode()).hexdigest()[:16]

    def _image(self) -> str:
        from .images import obtain
        with self._engine("docker.image"):
            return obtain(self._client, self._config.docker)

    def _make(self, name: str, image: str) -> None:
        """A volume and a container that was not started yet."""
        place = self._folder.room(name)
        with self._engine(name):
            has_volume = self._has_volume(name)
            if not has_volume:
                self._folder.check_data_not_lost(name, f"the volume {self._called(name)}")
            account = Account.read(place)
            if account is None:
                if has_volume:
                    raise CannotStart(f"{name}: the volume {self._called(name)} has its data, but {place}/client.cnf, "
                                      "which has the passwords, is gone; put it back, or remove the volume")
                account = Account.fresh(self._cluster)
            if not (account.port != 3306 and _is_free(account.port)):
                account = replace(account, port=_free_port())
            # Before the server knows the passwords: they must not be lost.
            self._write(name, replace(account, host=LOCAL))
            self._client.volumes.create(self._called(name), labels={LABEL: self._cluster})
            memory = self._config.docker.memory
            self._client.containers.create(
                image, name=self._called(name), labels={LABEL: self._cluster, MADE: self._made}, hostname=name,
                command=[*SERVE, "--skip-name-resolve", "--loose-mysqlx=OFF",
                         f"--innodb-buffer-pool-size={memory // 4}", *self._config.docker.args],
                # Whoever may read them there may ask the engine for anything else, too.
                environment={"MYSQL_ROOT_PASSWORD": account.root_password, "MYSQL_DATABASE": account.database,
                             "MYSQL_USER": ROUTER, "MYSQL_PASSWORD": account.password},
                ports={INSIDE: (LOCAL, account.port)},
                volumes={self._called(name): {"bind": DATA, "mode": "rw"}},
                # The engine starts it again after a crash, and after its own end, but not after our `stop`.
                restart_policy={"Name": "unless-stopped"},      # type: ignore[arg-type]  # a TypedDict of the stubs alone
                mem_limit=memory, security_opt=["no-new-privileges"])
        self._folder.note_data(name)

    def _write(self, name: str, account: Account) -> None:
        account.write(self._folder.make_room(name))

    # ---- life

    def _started(self, name: str) -> Account:
        """Start it if it does not run; how to log in."""
        with self._engine(name):
            container = self._container(name)
            assert container is not None
            if container.status == "paused":
                container.unpause()
            elif container.status != "running":
                self._start(name, container)
            account = self._account(name, container)
        if account != Account.read(self._folder.room(name)):
            self._write(name, account)
        return account

    def _start(self, name: str, container: Container) -> None:
        import docker.errors
        try:
            container.start()
        except docker.errors.APIError as error:
            said = str(error.explanation or error)
            if "port is already allocated" in said or "address already in use" in said:
                port = container.attrs["HostConfig"]["PortBindings"][INSIDE][0]["HostPort"]
                raise Taken(f"{name}: {LOCAL}:{port}, the port of {self._called(name)}, is somebody else's now; end "
                            "what listens there, and start again") from None
            raise

    def _account(self, name: str, container: Container) -> Account:
        """What the container was made with, whatever became of our file."""
        environment = dict(word.partition("=")[::2] for word in container.attrs["Config"]["Env"])
        port = container.attrs["HostConfig"]["PortBindings"][INSIDE][0]["HostPort"]
        return Account(environment["MYSQL_ROOT_PASSWORD"], environment["MYSQL_PASSWORD"], environment["MYSQL_DATABASE"],
                       host=LOCAL, port=int(port))

    def _ready(self, name: str, account: Account, deadline_s: float) -> None:
        """Wait until a login works: the port accepts before the server does, and MySQL's first one is not the last."""
        endpoint = account.endpoint
        before: int | None = None
        while True:
            try:
                ask(endpoint, "SELECT 1", timeout_s=min(TIMEOUT_S, max(1.0, deadline_s - time.monotonic())))
                break
            except NoLogin as error:
                cause = str(error)
            with self._engine(name):
                container = self._container(name)
                if container is None:
                    raise CannotStart(f"{name}: {self._called(name)} was removed while it started")
                # The engine has counted since the container was made.
                restarts = container.attrs["RestartCount"]
                before = restarts if before is None else before
                if restarts - before >= RESTARTS or container.status in ("exited", "dead"):
                    raise CannotStart(f"{name}: {self._called(name)} ended while it started: {_last_words(container)}")
            if time.monotonic() > deadline_s:
                raise CannotStart(f"{name}: {self._called(name)} does not answer on {LOCAL}:{endpoint.port}: {cause}; "
                                  f"see `docker logs {self._called(name)}`, or give it more time with --timeout")
            time.sleep(POLL_S)
        if name == self._home(None):
            self._make_meta(name, account)

    def _make_meta(self, name: str, account: Account) -> None:
        with suppress(NoLogin):
            ask(account.endpoint.in_database(self._meta_database), "SELECT 1")
            return
        try:
            with session(account.root, database=False) as run:
                run(f"CREATE DATABASE IF NOT EXISTS {quoted(self._meta_database)}")
                run(f"GRANT ALL ON {pattern(self._meta_database)}.* TO '{ROUTER}'@'%'")
        except NoLogin as error:
            raise CannotStart(f"{name}: the database of the map cannot be made: {error}") from None


def _connect() -> docker.DockerClient:
    try:
        # Only this backend needs it, and it is slow to import.
        import docker
    except ImportError:
        raise CannotStart("backend docker: the library is missing: pip install docker") from None
    try:
        return docker.from_env(version="auto", timeout=ENGINE_S)
    except docker.errors.DockerException as error:
        if "Permission denied" in str(error):
            raise CannotStart("backend docker: you may not use the Docker engine; join its group "
                              "(usermod -aG docker …), or start as root") from None
        raise CannotStart(f"backend docker: no Docker engine answers: {error}; start it (systemctl start docker), say "
                          "where it is with DOCKER_HOST, or take another backend") from None


def _last_words(container: Container) -> str:
    lines = container.logs(tail=40).decode(errors="replace").strip().splitlines()
    return " / ".join([line for line in lines if "[ERROR]" in line][-3:] or lines[-3:])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    """One that no outgoing connection takes by chance, so that it is still free after the next start of the machine."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(min(10_000, low // 2), low)
        if _is_free(port):
            return port
