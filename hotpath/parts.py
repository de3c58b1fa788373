"""What is each part of the house, how is it started, and where does it listen?"""
from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import yaml

from hotpath.core.config import Address, load
from hotpath.core.listen import VARIABLE as LISTENERS_VARIABLE
from hotpath.core.listen import Listeners, name_of
from hotpath.core.supervise import Part
from hotpath.core.yamltext import Plain
from hotpath.proxy.config import ProxyConfig

from .engines import SHARDS, Engines
from .figures import Figure
from .home import Home
from .watch import Server

HERE = Path(__file__).parent
NAMES = ("proxy", "chat", "ide", "crdt", "shard", "locking")
REPLICAS = ("a", "b", "c")
GATEWAYS = ("g1", "g2")
# The proxy writes a line for each request; whoever reads the log need not read it twice.
QUIET = {"access": "off"}
DRAIN = "2s"


@dataclass(frozen=True, slots=True)
class Member:
    """A part of the house with what a visitor should know of it."""

    name: str
    title: str
    about: str
    processes: Sequence[Part]
    servers: Sequence[Server]                       # all must be well for it to be
    figures: Sequence[Figure]
    engine: str                                     # what it stands on, for people; empty: it says so itself, see Watch
    path: str | None = None                         # on the door
    links: Mapping[str, str] = field(default_factory=dict)      # paths on the door, to what is there
    farewell: Sequence[str] = ()                    # a command for what its processes leave running


@dataclass(frozen=True, slots=True)
class Door:
    """Where people come in."""

    address: Address
    sockets: Sequence[socket.socket]

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser may call it: its own name and `localhost`."""
        own = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return tuple(dict.fromkeys((own, "localhost", *(["127.0.0.1", "[::1]"] if own == "localhost" else []))))

    @property
    def origins(self) -> list[str]:
        """The same as a browser spells an Origin, its own first (RFC 6454 section 6.2)."""
        port = "" if self.address.port == 80 else f":{self.address.port}"
        return [f"http://{host}{port}" for host in self.hosts]

    @property
    def url(self) -> str:
        """Its own address, without a slash at the end."""
        return self.origins[0]


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that a process inherits. It stays open while that is started again: whoever comes then waits."""

    address: Address
    fd: int


class Site:
    """What the parts are built on: the door, the data, the engines, and a private folder for sockets."""

    def __init__(self, door: Door, home: Home, engines: Engines, folder: Path, stack: ExitStack) -> None:
        self.door = door
        self.home = home
        self.engines = engines
        self.folder = folder
        self._stack = stack

    def unix(self, name: str) -> Listening:
        """A socket that nobody else can reach."""
        return self._listening(Address(path=str(self.folder / f"{name}.sock")))

    def tcp(self) -> Listening:
        """A free port of this machine, for those that take no other."""
        return self._listening(Address("127.0.0.1", 0))

    def _listening(self, address: Address) -> Listening:
        listeners = Listeners()
        self._stack.callback(listeners.close)
        ((sock,),) = listeners.bind([address])
        return Listening(Address.parse(name_of(sock)), sock.fileno())

    def data(self, name: str) -> str:
        """The folder of a part's data."""
        return str(self.home.folder / name)

    def process(self, name: str, config: Mapping[str, Plain], words: Sequence[str], listening: Iterable[Listening],
                env: Mapping[str, str] | None = None) -> Part:
        """`hotpath-PART …` of this configuration on these sockets; `words`: module and command."""
        fds = {str(each.address): each.fd for each in listening}
        module, *command = words
        file = self.home.write_config(name, config)
        return Part(name, [sys.executable, "-P", "-m", f"hotpath.{module}", *command, "-c", str(file)],
                    env={LISTENERS_VARIABLE: json.dumps(fds), **(env or {})}, pass_fds=list(fds.values()))


def furnished(site: Site, names: Iterable[str]) -> list[Member]:
    """The parts of these names, the proxy first: it is the door to the others."""
    makers: Mapping[str, Callable[[Site], tuple[Member, Mapping[str, Listening]]]] = {
        "chat": chat, "ide": ide, "crdt": crdt, "shard": shard, "locking": locking}
    members: list[Member] = []
    upstreams: dict[str, Listening] = {}
    for name in makers:
        if name in names:
            member, served = makers[name](site)
            members.append(member)
            upstreams.update(served)
    return [proxy(site, upstreams), *members]


def proxy(site: Site, upstreams: Mapping[str, Listening]) -> Member:
    """The front door: `up.yaml` with today's addresses, and the routes of what is there today."""
    status = site.folder / "public"
    status.mkdir()
    admin = Address(path=str(site.folder / "admin.sock"))
    text = Template((HERE / "up.yaml").read_text(encoding="utf-8")).safe_substitute({
        "HOTPATH_UP_LISTEN": site.door.address, "HOTPATH_UP_ADMIN": admin, "HOTPATH_UP_STATUS": status,
        "HOTPATH_UP_PAGE": HERE / "page", "HOTPATH_UP_KIT": HERE / "core" / "page",
        **{f"HOTPATH_UP_{name.upper().replace('-', '_')}": one.address for name, one in upstreams.items()}})
    config = yaml.safe_load(text)
    config["upstreams"] = {name: one for name, one in config["upstreams"].items() if name in upstreams}
    config["routes"] = [{**route, "match": {**route["match"], "host": list(site.door.hosts)}}
                        for route in config["routes"] if route.get("upstream") in (None, *upstreams)]
    sockets = {name_of(sock): sock.fileno() for sock in site.door.sockets}
    file = site.home.write_config("proxy", config)
    n_workers = load(file, ProxyConfig).worker_count
    return Member(
        "proxy", "Reverse proxy", "Routes, balances, limits and logs every request of this house, this page included.",
        [Part("proxy", [sys.executable, "-P", "-m", "hotpath.proxy", "-c", str(file)], env={
            LISTENERS_VARIABLE: json.dumps(sockets)}, pass_fds=list(sockets.values()))],
        [Server("proxy", admin)],
        [Figure("requests", "/s", "hotpath_proxy_requests_total", per_second=True),
         Figure("open connections", "", "hotpath_proxy_connections")],
        engine=f"{n_workers} worker process{'es' if n_workers > 1 else ''}")


def chat(site: Site) -> tuple[Member, Mapping[str, Listening]]:
    """Slack in small: an API and two gateways under a supervisor of their own."""
    door, engines = site.door, site.engines
    api = site.tcp()
    gateways = {name: site.tcp() for name in GATEWAYS}
    config: dict[str, Plain] = {
        "data": site.data("chat"), "listen": str(api.address), "public_url": f"{door.url}/chat",
        "origins": door.origins,
        "gateways": {
            "count": len(gateways), "listen": [str(each.address) for each in gateways.values()], "drain": DRAIN,
            "public_url": f"ws{door.url.removeprefix('http')}/chat/gateways/{{id}}/ws"},
        "timeouts": {"drain": DRAIN}, "log": QUIET,
    }
    if engines.mysql:
        config["database"] = {"url": engines.url("chat")}
    if engines.redis:
        config["redis"] = {"url": engines.redis, "prefix": f"{engines.prefix}:"}
    return Member(
        "chat", "Chat", "Slack in small: a message is on disk before anybody sees it, and nobody loses one.",
        [site.process("chat", config, ["chat", "up"], [api, *gateways.values()])],
        [Server("chat", api.address), *(Server("chat", each.address) for each in gateways.values())],
        [Figure("open sockets", "", "chat_gateway_sockets"), Figure("changes on disk", "", "chat_api_writes_total")],
        engine=f"{engines.mysql_name or 'SQLite'}, {engines.redis_name or 'embedded Redis'}", path="/chat/",
    ), {"chat": api, **{f"chat-{name}": each for name, each in gateways.items()}}


def ide(site: Site) -> tuple[Member, Mapping[str, Listening]]:
    """A cloud IDE; programs that listen are seen on origins of their own, past the door."""
    door, engines = site.door, site.engines
    listening = site.unix("ide")
    sandbox: dict[str, Plain] = {"kind": "auto"}
    if engines.docker:
        sandbox = {"kind": "docker", "docker_host": engines.docker}
    config: dict[str, Plain] = {
        "data": str(site.home.passable("ide")), "listen": str(listening.address), "base_path": "/ide",
        "auth": {"origins": door.origins}, "preview": {"listen": "127.0.0.1:0"}, "sandbox": sandbox,
        "timeouts": {"drain": DRAIN}, "log": QUIET,
    }
    return Member(
        "ide", "Cloud IDE", "Projects with files, an editor, terminals and a sandbox each.",
        [site.process("ide", config, ["ide", "serve"], [listening])],
        [Server("ide", listening.address, site.home.folder / "ide" / "token")],
        [Figure("projects", "", "hotpath_ide_projects"), Figure("terminals", "", "hotpath_ide_terminals")],
        engine=engines.docker_name, path="/ide/"), {"ide": listening}


def crdt(site: Site) -> tuple[Member, Mapping[str, Listening]]:
    """Three replicas: one alone has nobody to converge with, and the page is there to show that."""
    replicas = {name: site.tcp() for name in REPLICAS}
    paths = {name: "/crdt/" if name == REPLICAS[0] else f"/crdt/{name}/" for name in REPLICAS}

    def process(name: str) -> Part:
        config: dict[str, Plain] = {
            "replica": name, "data": site.data(f"crdt-{name}"), "listen": str(replicas[name].address), "drill": True,
            "peers": [{"name": other, "url": f"http://{each.address}", "public": paths[other]}
                      for other, each in replicas.items() if other != name],
            "timeouts": {"drain": DRAIN}, "log": QUIET,
        }
        # A browser brings no token, so none may be asked for, whatever the environment says.
        return site.process(f"crdt-{name}", config, ["crdt", "serve"], [replicas[name]], {"HOTPATH_CRDT_TOKEN": ""})

    return Member(
        "crdt", "Replicated dictionary", "Last write wins: three replicas that you cut apart, edit and heal.",
        [process(name) for name in REPLICAS],
        [Server(f"crdt-{name}", each.address) for name, each in replicas.items()],
        [Figure("live cells", "in three", "hotpath_crdt_cells", 'kind="live"'),
         Figure("links up", "of 6", "hotpath_crdt_peer_up")],
        engine="a journal each", path="/crdt/",
        links={paths[name]: f"as replica {name} sees it" for name in REPLICAS[1:]},
    ), {f"crdt-{name}": each for name, each in replicas.items()}


def shard(site: Site) -> tuple[Member, Mapping[str, Listening]]:
    """The sharded MySQL, with the tables of its example. Each backend has a folder of its own: data stay where made."""
    engines = site.engines
    listening = site.unix("shard")
    backend = "dsn" if engines.mysql else "process" if engines.has_mysqld else "embedded"
    config = yaml.safe_load((HERE / "shard" / "blog.yaml").read_text(encoding="utf-8"))
    config |= {
        "listen": str(listening.address), "backend": backend, "timeouts": {"drain": DRAIN}, "log": QUIET,
        "data": site.data("shard" if backend == "embedded" else f"shard-{backend}"),
    }
    if engines.mysql:
        config |= {"meta": engines.dsn("map"), "shards": [{"name": name, "dsn": engines.dsn(name)} for name in SHARDS]}
    process = site.process("shard", config, ["shard", "serve"], [listening])
    farewell = [*process.command[:4], "down", *process.command[5:]] if backend == "process" else []
    return Member(
        "shard", "Sharded MySQL", "Rows where a hash ring puts them; shards come and go while clients read and write.",
        [process], [Server("shard", listening.address)],
        [Figure("shards", "", "hotpath_shard_slots", counts_samples=True),
         Figure("requests for rows", "", "hotpath_shard_requests_total")],
        engine={"embedded": "three SQLite files", "process": "three MariaDB servers of its own",
                "dsn": engines.mysql_name}[backend],
        path="/shard/", farewell=farewell), {"shard": listening}


def locking(site: Site) -> tuple[Member, Mapping[str, Listening]]:
    """Optimistic and pessimistic locking, shown."""
    listening = site.unix("locking")
    config: dict[str, Plain] = {
        "data": site.data("locking"), "listen": str(listening.address), "timeouts": {"drain": DRAIN}, "log": QUIET}
    if site.engines.mysql:
        config["url"] = site.engines.url("locking")
    return Member(
        "locking", "Locking", "Lost updates and deadlocks played step by step, and what prevents each of them.",
        [site.process("locking", config, ["locking", "serve"], [listening], {"HOTPATH_LOCKING_TOKEN": ""})],
        [Server("locking", listening.address)],
        [Figure("commits", "", "hotpath_locking_commits_total"),
         Figure("conflicts", "", "hotpath_locking_conflicts_total")],
        engine=site.engines.mysql_name or "SQLite", path="/locking/"), {"locking": listening}

