"""Which real engines answer on this machine, and what is each part to use?

Asked once, at the start, and only under --real. A part has the engine or its embedded default, never half of each.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import quote, unquote, urlsplit

MYSQL_VARIABLE, REDIS_VARIABLE, DOCKER_VARIABLE = "HOTPATH_MYSQL", "HOTPATH_REDIS", "DOCKER_HOST"
MYSQL, REDIS = "mysql://root@127.0.0.1:3306", "redis://127.0.0.1:6379/0"
DOCKER = "unix:///var/run/docker.sock"
ANSWERS_WITHIN_S = 3
# mariadbd stands off a plain user's path.
SERVER_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
SHARDS = ("s0", "s1", "s2")


@dataclass(frozen=True, slots=True)
class Engines:
    """What the parts use beside themselves; empty: the embedded defaults."""

    mysql: str = ""             # mysql://USER:PASSWORD@HOST:PORT
    mysql_name: str = ""        # for people
    prefix: str = ""            # of our databases there, and of our keys in Redis
    has_mysqld: bool = False    # a program that shards may start
    redis: str = ""
    redis_name: str = ""
    docker: str = ""            # unix:///PATH
    docker_name: str = ""
    said: tuple[str, ...] = field(default=())       # a line for each that was asked

    def dsn(self, name: str) -> str:
        """Of one of our databases, as hotpath-shard spells it."""
        return f"{self.mysql}/{self.prefix}{name}"

    def url(self, name: str) -> str:
        """Of one of our databases, as SQLAlchemy spells it."""
        return self.dsn(name).replace("mysql://", "mysql+mysqlconnector://", 1)


EMBEDDED = Engines()


def found(id: str, parts: Collection[str], *, environ: Mapping[str, str] = MappingProxyType(os.environ)) -> Engines:
    """What answers of what these parts can use. `id`: of the house, so that two houses may share a server."""
    engines = Engines(prefix=f"hotpath_{id}_")
    asked: tuple[tuple[tuple[str, ...], Callable[[Engines, Mapping[str, str]], Engines]], ...] = (
        (("shard", "chat", "locking"), _mysql), (("chat",), _redis), (("ide",), _docker))
    for users, ask in asked:
        if any(user in parts for user in users):
            engines = ask(engines, environ)
    return engines


def _mysql(engines: Engines, environ: Mapping[str, str]) -> Engines:
    asked = environ.get(MYSQL_VARIABLE) or MYSQL
    cure = f"start one there, or say where it is: {MYSQL_VARIABLE}=mysql://USER:PASSWORD@HOST:PORT"
    try:
        where = urlsplit(asked)
        host, port, user, password = where.hostname, where.port or 3306, where.username, where.password
        if where.scheme != "mysql" or not host or not user or where.path not in ("", "/"):
            raise ValueError
    except ValueError:
        return _without_mysql(
            engines, f"{MYSQL_VARIABLE} is no address of a server; allowed: mysql://USER:PASSWORD@HOST:PORT")
    user, password = unquote(user), unquote(password or "")
    shown = f"{user}@{host}:{port}"
    import mysql.connector
    try:
        with closing(mysql.connector.connect(
                host=host, port=port, user=user, password=password, use_pure=True,
                charset="utf8mb4", collation="utf8mb4_general_ci", connection_timeout=ANSWERS_WITHIN_S)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT VERSION()")
            ((version,),) = cursor.fetchall()
            # All of them before any is used: an account that may make none is told of here.
            for name in ("chat", "locking", "map", *SHARDS):
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{engines.prefix}{name}` CHARACTER SET utf8mb4")
    except (mysql.connector.Error, OSError) as error:
        return _without_mysql(engines, f"asked {shown}: {_why(error)}; {cure}")
    product = "MariaDB" if "mariadb" in str(version).lower() else "MySQL"
    name = f"{product} {str(version).partition('-')[0]} at {host}:{port}"
    secret = f":{quote(password, safe='')}" if password else ""
    literal = f"[{host}]" if ":" in host else host
    return replace(engines, mysql=f"mysql://{quote(user, safe='')}{secret}@{literal}:{port}", mysql_name=name, said=(
        *engines.said, f"{name}, as {user}: used by shard, chat and locking, in databases {engines.prefix}…"))


def _without_mysql(engines: Engines, why: str) -> Engines:
    program = next((name for name in ("mariadbd", "mysqld") if shutil.which(name, path=SERVER_PATH)), None)
    instead = (f"shard starts {program} for each of its shards, chat and locking use SQLite" if program
               else "shard, chat and locking use SQLite")
    return replace(engines, has_mysqld=program is not None,
                   said=(*engines.said, f"no MySQL or MariaDB: {why}. Instead: {instead}"))


def _redis(engines: Engines, environ: Mapping[str, str]) -> Engines:
    asked = environ.get(REDIS_VARIABLE) or REDIS
    shown = REDIS_VARIABLE
    import redis
    try:
        where = urlsplit(asked)
        shown = f"{where.hostname or where.path}:{where.port or 6379}"
        with closing(redis.Redis.from_url(asked, socket_timeout=ANSWERS_WITHIN_S,
                                          socket_connect_timeout=ANSWERS_WITHIN_S)) as client:
            version = client.info("server")["redis_version"]
    except (redis.RedisError, ValueError, OSError) as error:
        return replace(engines, said=(
            *engines.said, f"no Redis: asked {shown}: {_why(error)}; start one there, or say where it is: "
            f"{REDIS_VARIABLE}=redis://HOST:PORT/N. Instead: chat has one of its own"))
    name = f"Redis {version} at {shown}"
    return replace(engines, redis=asked, redis_name=name,
                   said=(*engines.said, f"{name}: used by chat, with keys {engines.prefix}…"))


def _docker(engines: Engines, environ: Mapping[str, str]) -> Engines:
    asked = environ.get(DOCKER_VARIABLE) or DOCKER
    instead = "Instead: the IDE uses bubblewrap, or plain processes where that is not to be had"
    if not asked.startswith("unix://"):
        return replace(engines, said=(
            *engines.said, f"no Docker: {asked} is not on this machine, and projects are mounted; allowed: "
            f"{DOCKER_VARIABLE}=unix:///PATH. {instead}"))
    import docker
    import requests
    from docker.errors import DockerException

    from hotpath.ide.templates import BUILT_IN
    try:
        with closing(docker.DockerClient(base_url=asked, version="auto", timeout=ANSWERS_WITHIN_S)) as client:
            version = client.version()["Version"]
            images = {tag for image in client.images.list() for tag in image.tags}
    except (DockerException, requests.RequestException, OSError) as error:
        return replace(engines, said=(
            *engines.said, f"no Docker: asked {asked}: {_why(error)}; start it, or say where it is with "
            f"{DOCKER_VARIABLE}. {instead}"))
    name = f"Docker {version}"
    wanted = {template.image for template in BUILT_IN.values()}
    missing = ", ".join(sorted(wanted - images))
    if not wanted & images:
        # No project could be made.
        return replace(engines, said=(
            *engines.said, f"{name} answers at {asked}, but has no {missing}; get them with: hotpath-ide images. "
            f"{instead}"))
    without = f", but for templates that need {missing} (hotpath-ide images)" if missing else ""
    return replace(engines, docker=asked, docker_name=name,
                   said=(*engines.said, f"{name} at {asked}: a container for each of the IDE's projects{without}"))


def _why(error: BaseException) -> str:
    """What the system said, where a library has wrapped that in words of its own; else those."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(getattr(error, "msg", None) or error).rstrip(".")
