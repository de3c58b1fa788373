import secrets

import pytest

from hotpath.shard.backend.docker import _free_port
from hotpath.shard.backend.errors import CannotStart
from hotpath.shard.backend.images import BASE, BUILT, LABEL, build, obtain
from hotpath.shard.backend.login import NoLogin, ask
from hotpath.shard.config import DockerConfig
from hotpath.shard.endpoint import Endpoint
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def client(docker_engine):
    import docker
    client = docker.from_env(version="auto")
    yield client
    client.close()


@pytest.fixture
def container(client):
    """Makes one of ours with an environment; gone afterwards."""
    made = []

    def make(environment, port=None):
        made.append(client.containers.create(
            build(client), environment=environment, ports={"3306/tcp": ("127.0.0.1", port)} if port else {}))
        return made[-1]

    yield make
    for one in made:
        one.remove(force=True, v=True)


def test_an_unchanged_recipe_is_built_once(client):
    build(client)
    before = client.images.get(BUILT)
    assert build(client) == BUILT
    assert client.images.get(BUILT).id == before.id
    assert before.labels[LABEL] != client.images.get(f"{BASE}:bookworm").labels[LABEL]


def test_an_image_that_is_there_is_taken_as_it_is(client):
    build(client)
    name = f"hotpath/test-{secrets.token_hex(4)}:here"
    client.images.get(BUILT).tag(name)
    try:
        assert obtain(client, DockerConfig(image=name, build="never")) == name
        assert obtain(client, DockerConfig(image=name, build="always")) == BUILT
    finally:
        client.images.remove(name)


def test_one_that_cannot_be_had_is_built_unless_that_is_forbidden(client):
    image = f"127.0.0.1:1/{secrets.token_hex(4)}:none"
    assert obtain(client, DockerConfig(image=image)) == BUILT
    with pytest.raises(CannotStart, match=r"docker.build: auto"):
        obtain(client, DockerConfig(image=image, build="never"))


def test_accounts_are_those_of_the_environment(container):
    root, password, port = "it's \\ \"root\" `%_", "pass'word\\", _free_port()
    container({"MYSQL_ROOT_PASSWORD": root, "MYSQL_DATABASE": "my_blog", "MYSQL_USER": "ada",
               "MYSQL_PASSWORD": password}, port).start()
    ada = Endpoint("mysql", host="127.0.0.1", port=port, user="ada", password=password, database="my_blog")
    wait_for(lambda: can_log_in(ada), "the server", within_s=60)
    ask(ada, "CREATE TABLE hers (id INT)")
    boss = Endpoint("mysql", host="127.0.0.1", port=port, user="root", password=root, database="mysql")
    found = ask(boss, "SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User <> 'mariadb.sys' ORDER BY 1")
    assert found == [("ada@%",), ("root@%",), ("root@localhost",)]
    # An underscore of GRANT stands for any character.
    with pytest.raises(NoLogin, match="denied"):
        ask(ada, "CREATE DATABASE myXblog", database=False)


def can_log_in(endpoint):
    try:
        return ask(endpoint, "SELECT 1") == [(1,)]
    except NoLogin:
        return False


def test_a_first_start_that_was_killed_starts_over(container):
    port = _free_port()
    server = container({"MYSQL_ROOT_PASSWORD": "secret"}, port)
    for _ in range(3):
        server.start()
        server.kill()
    server.start()
    root = Endpoint("mysql", host="127.0.0.1", port=port, user="root", password="secret", database="mysql")
    wait_for(lambda: can_log_in(root), "the server", within_s=60)


def test_no_server_starts_without_a_password(container):
    server = container({})
    server.start()
    assert server.wait(timeout=60)["StatusCode"] == 1
    assert b"MYSQL_ROOT_PASSWORD is not set" in server.logs()
