"""The images that docker sandboxes start from: ours are built on this machine, others pulled."""
from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hotpath.ide.config import IdeConfig
from hotpath.ide.errors import SandboxFailed
from hotpath.ide.templates import Template

from .recipes import RECIPES

if TYPE_CHECKING:
    import docker

REQUEST_S = 60.0        # for one request to the engine that builds nothing


def command(config: IdeConfig, names: Sequence[str]) -> int:
    """`hotpath-ide images [NAME…]`: get what is missing; none named: what the templates need. The exit status."""
    templates = config.all_templates
    try:
        images = [image_of(name, templates) for name in names] or [one.image for one in templates.values()]
    except KeyError as error:
        known = ", ".join(sorted({*templates, *(recipe.name for recipe in RECIPES.values())}))
        print(f"images: {error.args[0]!r} is no template and no image of ours; allowed: {known}", file=sys.stderr)
        return 2
    from hotpath.ide.sandbox.docker.client import connected, engine_errors, socket_path
    try:
        path = socket_path(config.sandbox.docker_host)
    except ValueError as error:
        print(f"{error.args[0]}: {error.args[1]}", file=sys.stderr)
        return 2
    try:
        client = connected(path, timeout_s=REQUEST_S)
        for image in dict.fromkeys(images):
            began_s = time.monotonic()
            with engine_errors(path, image):
                got = obtain(client, image)
            print(f"{image}: {f'{got} in {time.monotonic() - began_s:.0f} s' if got else 'is there'}", flush=True)
    except SandboxFailed as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def image_of(name: str, templates: Mapping[str, Template]) -> str:
    """The image that a person means: by a template's name, by its own, or by ours without the ends. Raises KeyError."""
    if name in templates:
        return templates[name].image
    images = {*RECIPES, *(template.image for template in templates.values())}
    by_name = {**{image: image for image in images}, **{recipe.name: recipe.image for recipe in RECIPES.values()}}
    return by_name[name]


def obtain(client: docker.DockerClient, image: str) -> str:
    """What was done to have it; empty: nothing. Raises SandboxFailed, or the library's errors."""
    if recipe := RECIPES.get(image):
        from .building import build
        return "built" if build(client, recipe, lambda line: print(line, flush=True)) else ""
    from docker.errors import ImageNotFound
    try:
        client.images.get(image)
    except ImageNotFound:
        client.images.pull(image)
        return "pulled"
    return ""
