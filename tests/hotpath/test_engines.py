"""--real: what answers is used, whole; what does not is said, with what to start, and its part has the default."""
import re
import socket

import pytest

from hotpath.engines import MYSQL_VARIABLE, REDIS_VARIABLE, found
from tests.chat.house import OwnRedis
from tests.ide.engines import docker_engine, docker_python, sweep  # noqa: F401
from tests.ide.paths import public_folder
from tests.mariadb import missing, running_mariadb
from tests.waiting import is_alive

from .houses import house_up, shell

# Whole houses, on a machine that others use too.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def mariadb():
    if why := missing():
        pytest.skip(why)
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nobody():
    """HOST:PORT where nobody listens, for as long as the test runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_what_does_not_answer_is_said_with_where_and_what_to_do(nobody, tmp_path):
    engines = found("x", ("chat", "ide", "shard", "locking"), environ={
        MYSQL_VARIABLE: f"mysql://me:secret@{nobody}", REDIS_VARIABLE: f"redis://{nobody}/0",
        "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})
    assert (engines.mysql, engines.redis, engines.docker) == ("", "", "")
    mysql, redis, docker = engines.said
    assert mysql.startswith(f"no MySQL or MariaDB: asked me@{nobody}: ")
    assert f"{MYSQL_VARIABLE}=mysql://USER:PASSWORD@HOST:PORT" in mysql
    assert redis.startswith(f"no Redis: asked {nobody}: ")
    assert REDIS_VARIABLE in redis
    assert docker.startswith(f"no Docker: asked unix://{tmp_path}/docker.sock: ")
    # In the system's words, whatever the library that asked wraps around them.
    assert f"{nobody}: Connection refused; " in mysql
    assert f"{nobody}: Connection refused; " in redis
    assert "docker.sock: No such file or directory; " in docker
    assert all("Instead: " in line and "\n" not in line for line in engines.said)
    assert "secret" not in "".join(engines.said)


@pytest.mark.parametrize("url", ["postgresql://a@b", "mysql://", "mysql://u@h:99999", "mysql://u@h/name", "mysql://h", "mysql://["])
def test_what_is_no_address_of_a_server_is_said(url):
    (line,) = found("x", ("shard",), environ={MYSQL_VARIABLE: url}).said
    assert f"{MYSQL_VARIABLE} is no address of a server; allowed: mysql://USER:PASSWORD@HOST:PORT" in line


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:x", "tea"])
def test_what_is_no_redis_is_said(url):
    engines = found("x", ("chat",), environ={MYSQL_VARIABLE: "tea", REDIS_VARIABLE: url})
    assert engines.redis == ""
    assert engines.said[1].startswith("no Redis: ")


def test_an_engine_that_no_part_can_use_is_not_asked():
    assert found("x", ("crdt", "proxy")).said == ()


def test_a_docker_elsewhere_is_not_used():
    engines = found("x", ("ide",), environ={"DOCKER_HOST": "tcp://192.0.2.1:2375"})
    assert engines.docker == ""
    assert "not on this machine" in engines.said[0]


@pytest.mark.slow
@pytest.mark.timeout(600)           # the image may have to be built
@pytest.mark.usefixtures("docker_python")
def test_a_project_of_the_ide_runs_in_a_container():
    with public_folder() as folder, house_up(folder, "--real", "--only", "ide") as house:
        try:
            assert re.search(r"^hotpath \| Docker \S+ at unix:///\S+: a container for each", house.process.read(), re.M)
            assert house.part("ide")["engine"].startswith("Docker ")
            project = house.ide.create("contained", "python")
            assert project["sandbox"] == "docker"
            screen = shell(house.ide, project)
            screen.type(b"test -e /.dockerenv && echo inside-$((6 * 7))\n")
            screen.until(b"inside-42")
            screen.close()
        finally:
            sweep(house.data / "ide")


def test_an_account_that_may_make_no_database_is_not_used(mariadb):
    mariadb.execute("CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'p'")
    try:
        engines = found("x", ("chat",), environ={
            MYSQL_VARIABLE: f"mysql://poor:p@127.0.0.1:{mariadb.port}", REDIS_VARIABLE: "tea"})
    finally:
        mariadb.execute("DROP USER poor@'127.0.0.1'")
    assert engines.mysql == ""
    assert "Access denied" in engines.said[0]


def test_real_engines_hold_the_data_and_each_house_has_its_own(mariadb, redis):
    env = {MYSQL_VARIABLE: f"mysql://root@127.0.0.1:{mariadb.port}", REDIS_VARIABLE: redis.url}
    with public_folder() as folder:
        with house_up(folder, "--real", "--only", "chat,shard,locking", env=env) as house:
            said = house.process.read()
            assert re.search(rf"^hotpath \| MariaDB \S+ at 127.0.0.1:{mariadb.port}, as root: used by", said, re.M)
            assert re.search(r"^hotpath \| Redis \S+ at 127.0.0.1:\d+: used by chat", said, re.M)
            assert all("MariaDB" in house.part(name)["engine"] for name in ("chat", "shard", "locking"))
            assert "Redis" in house.part("chat")["engine"]
            ann = house.someone("ann")
            channel = ann.ask("POST", "/api/channels", {"name": "real", "kind": "public", "members": []}).json["id"]
            assert ann.post(channel, "on a real engine", "1").status == 201
            ann.tab().close()
            row = house.ask("POST", "/shard/v1/tables/posts", {"author": "ann", "title": "real"}).json()
            item = house.ask("POST", "/locking/items", {"title": "real", "body": ""}).json()
            id = (house.data / "id").read_text().strip()
            (count,) = mariadb.execute(f"SELECT COUNT(*) FROM hotpath_{id}_chat.messages")
            assert count == (1,)
            counts = [mariadb.execute(f"SELECT COUNT(*) FROM hotpath_{id}_s{n}.posts")[0][0] for n in range(3)]
            assert sum(counts) == 1
            house.stop()
        with house_up(folder, "--real", "--only", "chat,shard,locking", env=env) as house:
            messages = house.someone("ann").ask("GET", f"/api/channels/{channel}/messages").json["messages"]
            assert [each["text"] for each in messages] == ["on a real engine"]
            assert house.got(f"/shard/v1/tables/posts/{row['id']}")["title"] == "real"
            assert house.got(f"/locking/items/{item['id']}")["title"] == "real"


def test_shards_without_a_server_start_their_own_and_the_end_leaves_none(nobody):
    if why := missing():
        pytest.skip(why)
    with public_folder() as folder:
        env = {MYSQL_VARIABLE: f"mysql://root@{nobody}"}
        with house_up(folder, "--real", "--only", "shard", env=env) as house:
            assert "shard starts mariadbd for each of its shards" in house.process.read()
            assert house.part("shard")["engine"] == "three MariaDB servers of its own"
            row = house.ask("POST", "/shard/v1/tables/posts", {"author": "ann", "title": "own"}).json()
            pids = [int(path.read_text()) for path in (house.data / "shard-process").glob("*/server.pid")]
            assert len(pids) == 3
            assert all(map(is_alive, pids))
            house.stop()
            assert not any(map(is_alive, pids))
        with house_up(folder, "--real", "--only", "shard", env=env) as house:
            assert house.got(f"/shard/v1/tables/posts/{row['id']}")["title"] == "own"
            house.stop()
