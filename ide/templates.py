"""What a new project begins with: the built-in templates, and how a file changes them."""
from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NAME = r"[a-z][a-z0-9_-]{0,39}"
PACKAGES = "{packages}"


@dataclass(frozen=True, slots=True)
class Template:
    """Files, and commands for `sh -c` in the project's folder."""

    name: str
    title: str
    image: str                                      # for sandboxes that have images
    files: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""                                 # once, behind the prompt
    run: str = ""
    install: str = ""                               # {packages}: the names, each quoted
    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()                      # folders of the project before PATH
    ignore: tuple[str, ...] = ()                    # folders' names: not watched, searched, zipped or backed up
    needs: tuple[str, ...] = ()                     # commands that a sandbox without images must find

    def install_command(self, packages: list[str]) -> str:
        """The command that installs these."""
        return self.install.replace(PACKAGES, " ".join(shlex.quote(name) for name in packages))


# Without pip of its own a venv is there in 0.2 s in place of 10, and the interpreter's own pip can install into it.
_VENV = """\
test -x .venv/bin/python || python3 -m venv --without-pip .venv
test -e .venv/bin/pip || {
  base=$(.venv/bin/python -c 'import sys; print(sys._base_executable)')
  if "$base" -m pip --version > /dev/null 2>&1; then
    printf '#!/bin/sh\\nexec %s -m pip --python "${0%%/*}/python" "$@"\\n' "$base" > .venv/bin/pip
    chmod +x .venv/bin/pip
  else
    .venv/bin/python -m ensurepip --default-pip
  fi
}
"""

_HELLO_JS = """\
const name = process.argv[2] ?? "world";
console.log(`hello ${name}`);
"""

_HELLO_HTML = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>A page</title>
  <link rel="stylesheet" href="style.css">
  <script type="module" src="main.js"></script>
</head>
<body>
  <h1>It is served</h1>
  <p>Change <code>index.html</code>, and reload the preview.</p>
  <p><button>Count</button> <output>0</output></p>
</body>
</html>
"""

_HELLO_CSS = """\
body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 40rem; padding: 0 1rem; }
"""

_COUNT_JS = """\
const output = document.querySelector("output");
let count = 0;
document.querySelector("button").addEventListener("click", () => { output.value = ++count; });
"""

BUILT_IN: Mapping[str, Template] = {template.name: template for template in (
    Template(
        "python", "Python", "hotpath/python:local",
        files={"main.py": 'print("hello")\n'},
        setup=_VENV, run="python main.py", install="pip install {packages}",
        env={"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        path=(".venv/bin",), ignore=(".venv", "__pycache__"), needs=("python3",)),
    Template(
        "node", "Node.js", "hotpath/node:local",
        files={"main.js": _HELLO_JS, "package.json": '{"name": "project", "private": true, "type": "module"}\n'},
        run="node main.js", install="npm install {packages}",
        env={"NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_FUND": "false", "NPM_CONFIG_AUDIT": "false"},
        path=("node_modules/.bin",), ignore=("node_modules",), needs=("node", "npm")),
    Template(
        "web", "Web page", "hotpath/python:local",
        files={"index.html": _HELLO_HTML, "style.css": _HELLO_CSS, "main.js": _COUNT_JS},
        run="python3 -u -m http.server 8000 --bind 127.0.0.1", needs=("python3",)),
)}


def merged(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Template]:
    """The built-in templates with `changes` over them, by name; what is new there comes behind."""
    templates = dict(BUILT_IN)
    for name, values in changes.items():
        base = templates.get(name) or Template(name, name, "")
        templates[name] = replace(base, **values)
    return templates
