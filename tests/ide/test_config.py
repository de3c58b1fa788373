"""What the file says, and what it may not say."""
from pathlib import Path

import pytest

from hotpath.core.config import ConfigError, load, loads
from hotpath.ide.config import IdeConfig, located

EXAMPLE = """\
listen: 127.0.0.1:8086
workers: 1
base_path: /
data: ./ide-data
auth: {mode: token, token: "", origins: []}
preview: {listen: 127.0.0.1:8087, host: "{key}.localhost"}
sandbox:
  kind: auto
  user: auto
  network: none
  install_network: open
  memory: 512m
  cpus: 1.0
  pids: 256
  nofile: 4096
  file_size: 256m
  tmp: 64m
  disk: 1024m
  files: 100000
  start_timeout: 30s
  docker_host: ""
  allow_unsandboxed: false
terminal: {shell: [bash, -i], ring: 1m, window: 256k, max: 8}
idle: {stop_after: 30m, warn: 2m}
limits: {projects: 100, file: 16m, upload: 64m, unzip: 256m, unzip_files: 10000, tree: 5000, search: 5s, watches: 8192}
history: {keep: 20, file: 1m}
trash_days: 7
backup: {bucket: "", prefix: hotpath-ide, endpoint: "", region: "", every: 60s, keep: 30}
"""


def test_what_the_documentation_shows_is_the_default():
    assert loads(EXAMPLE, IdeConfig) == IdeConfig()


def test_a_template_changes_the_built_in_one_of_its_name():
    config = loads("templates: {python: {run: python app.py}, r: {title: R, image: r-base, install: 'x {packages}'}}",
                   IdeConfig)
    templates = config.all_templates
    assert templates["python"].run == "python app.py"
    assert templates["python"].path == (".venv/bin",)
    assert templates["r"].title == "R"
    assert list(templates) == ["python", "node", "web", "r"]
    assert templates["r"].install_command(["a b", "c"]) == "x 'a b' c"


@pytest.mark.parametrize(("text", "where"), [
    ("workers: 2", "workers"),
    ("workers: auto", "workers"),
    ("templates: {r: {title: R}}", "templates.r"),
    ("templates: {R: {image: r}}", "templates.R"),
    ("templates: {python: {files: {../x: ''}}}", "templates.python.files"),
    ("templates: {python: {files: {/x: ''}}}", "templates.python.files"),
    ("templates: {python: {path: [a/../b]}}", "templates.python.path[0]"),
    ("templates: {python: {ignore: [a/b]}}", "templates.python.ignore[0]"),
    ("templates: {python: {install: pip install}}", "templates.python.install"),
    ("templates: {python: {env: {A-B: x}}}", "templates.python.env.A-B"),
    ("sandbox: {user: '0:0'}", "sandbox.user"),
    ("sandbox: {user: root}", "sandbox.user"),
    ("sandbox: {start_timeout: 0}", "sandbox.start_timeout"),
    ("preview: {listen: 'unix:x'}", "preview.listen"),
    ("preview: {host: localhost}", "preview.host"),
    ("base_path: ide", "base_path"),
    ("base_path: /a//b", "base_path"),
    ("auth: {origins: [localhost]}", "auth.origins[0]"),
    ("backup: {endpoint: s3}", "backup.endpoint"),
    ("backup: {every: 0}", "backup.every"),
])
def test_what_cannot_be_is_said_with_its_place(text, where, tmp_path):
    file = tmp_path / "ide.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(file), IdeConfig)
    assert caught.value.path.startswith(where), str(caught.value)
    assert caught.value.line == 1


def test_data_is_relative_to_the_file(tmp_path):
    assert located(IdeConfig(), str(tmp_path / "ide.yaml")).folder == tmp_path / "ide-data"
    assert located(IdeConfig(data="/var/x"), str(tmp_path / "ide.yaml")).folder == Path("/var/x")


def test_base_path_ends_without_a_slash():
    paths = "/", "/ide", "/ide/", "/a/b"
    assert [loads(f"base_path: {path}", IdeConfig).base for path in paths] == ["", "/ide", "/ide", "/a/b"]


def test_who_lets_anybody_in_is_told_where():
    config = loads("listen: [127.0.0.1:1, 0.0.0.0:2]\nauth: {mode: none}", IdeConfig)
    assert (config.exposed, config.first_open) == (1, 1)
    assert loads("listen: [127.0.0.1:1, 0.0.0.0:2]", IdeConfig).exposed is None
