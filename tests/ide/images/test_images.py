"""`hotpath-ide images`: what is missing is made, what is there is left alone, and what cannot be is said."""
import secrets
from contextlib import closing

import pytest

from hotpath.core.config import loads
from hotpath.ide.config import IdeConfig
from hotpath.ide.images import base, command, recipes
from hotpath.shard.backend import images as of_shards
from tests.engine import only_one
from tests.ide.engines import built
from tests.ide.sandbox.docking import home, output

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def client(docker_python):
    import docker
    with closing(docker.from_env(version="auto")) as client:
        yield client


def test_an_unchanged_recipe_is_not_built_again(client, capfd):
    before = client.images.get("hotpath/python:local").id
    assert command(IdeConfig(), ["python", "web", "hotpath/python:local"]) == 0
    assert capfd.readouterr().out == "hotpath/python:local: is there\n"
    assert client.images.get("hotpath/python:local").id == before


def test_a_changed_recipe_is_built_again(client, capfd, monkeypatch, tmp_path):
    name = f"test-{secrets.token_hex(4)}"
    folder = tmp_path / "image" / name
    folder.mkdir(parents=True)
    monkeypatch.setattr(recipes, "FOLDER", folder.parent)
    (folder / "Dockerfile").write_text("FROM hotpath/base:bookworm\nCOPY word /word\n")
    recipe = recipes.Recipe(name)
    monkeypatch.setattr("hotpath.ide.images.RECIPES", {recipe.image: recipe})
    config = loads(f"templates: {{python: {{image: '{recipe.image}'}}}}", IdeConfig)
    try:
        for word in ("one", "two"):
            (folder / "word").write_text(word)
            vars(recipe).pop("hash", None)
            with only_one("images"):
                assert command(config, ["python"]) == 0
            out = capfd.readouterr().out
            assert "Step 2/" in out
            assert f"{recipe.image}: built in" in out
            assert client.images.get(recipe.image).labels[base.LABEL] == recipe.hash
        (folder / "Dockerfile").write_text("FROM hotpath/base:bookworm\nRUN echo no such thing; false\n")
        vars(recipe).pop("hash")
        assert command(config, ["python"]) == 1
        assert "returned a non-zero code: 1: no such thing" in capfd.readouterr().err
    finally:
        client.images.remove(recipe.image, force=True)


def test_what_a_recipe_stands_on_is_part_of_it():
    bare, over = recipes.Recipe("shell"), recipes.Recipe("python", recipes.Recipe("shell"))
    assert over.hash != recipes.Recipe("python").hash
    assert bare.hash != recipes.Recipe("shell", npm=("npm@10",)).hash


def test_the_shards_stand_on_the_same_debian():
    # Each would make the other's anew, for ever.
    assert of_shards.DEBOOTSTRAP == base.DEBOOTSTRAP
    assert (of_shards.BASE, of_shards.BASE_TAG, of_shards.LABEL) == (base.REPOSITORY, base.TAG, base.LABEL)
    assert of_shards._hash(b"one", b"two") == base.digest(b"one", b"two")


def test_a_name_that_is_none_is_answered_with_those_that_are(capfd):
    assert command(IdeConfig(), ["pyhton"]) == 2
    assert "'pyhton' is no template and no image of ours; allowed: node, python, shell, web" in capfd.readouterr().err


def test_an_engine_that_is_not_there_is_said(capfd, tmp_path):
    config = loads(f"sandbox: {{docker_host: 'unix://{tmp_path}/none'}}", IdeConfig)
    assert command(config, []) == 1
    assert "no Docker engine answers" in capfd.readouterr().err
    assert command(loads("sandbox: {docker_host: 'tcp://127.0.0.1:1'}", IdeConfig), []) == 2
    assert "sandbox.docker_host: 'tcp://127.0.0.1:1' is not on this machine" in capfd.readouterr().err


def test_an_image_of_somebody_else_is_pulled_or_refused(docker_python, capfd):
    config = loads("templates: {other: {image: '127.0.0.1:1/nobody/none:1'}}", IdeConfig)
    assert command(config, ["other"]) == 1
    assert "127.0.0.1:1/nobody/none:1: the Docker engine refuses" in capfd.readouterr().err


def test_node_and_npm_run_as_the_template_wants_them(docker_python, tmp_path):
    built("node")
    template = IdeConfig().all_templates["node"]
    with home(tmp_path / "data", template=template) as project:
        for name, text in template.files.items():
            (project.files / name).write_text(text)

        def act(running):
            assert output(running, "sh", "-c", template.run) == ("hello world\n", 0)
            said, status = output(running, "npm", "--version")
            assert status == 0, said
        project.inside(act)
