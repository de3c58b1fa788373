"""The images of the compose file, made without a registry: from Debian's packages and this checkout."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest

from hotpath.ide.images import base, building
from hotpath.shard.backend import images as shard_images
from tests.deploy.shipped import COMPOSE
from tests.engine import only_one
from tests.scratch import scratch

ROOT = Path(__file__).parents[2]
BASE = f"{base.REPOSITORY}:{base.TAG}"
EXTRAS = "http2,postgresql,s3"
IMAGE = "hotpath:test"
REDIS = "hotpath/redis:test"


def run(*command: object, cwd: Path | None = None, **env: str) -> None:
    """A command that may take minutes."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **env}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def sources() -> list[str]:
    """What git knows or would take, and an image is made from: all but the tests and the words."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True,
                            text=True, check=True).stdout
    others = (".ci/", "tests/", "docs/", "bench/", "deploy/")
    return [name for name in sorted(listed.split("\0")) if name and os.path.lexists(ROOT / name)
            and (not name.startswith(others) or name == "deploy/compose/Dockerfile")]


def wheel(into: Path, checkout: Path) -> Path:
    """A wheel of the sources, with the modules that are built already: to compile takes minutes."""
    for name in sources():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = checkout / "build" / f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}" / "hotpath"
    for source in checkout.rglob("*.pyx"):
        place = source.relative_to(checkout)
        module = (ROOT / place).with_suffix(suffix)
        if not module.exists():     # of a test's, or a fuzzer's
            continue
        shutil.copy2((ROOT / place).with_suffix(".c"), (checkout / place).with_suffix(".c"))
        (built / place).parent.mkdir(parents=True, exist_ok=True)
        # Newer than all that it is made from.
        shutil.copy(module, (built / place).with_suffix(suffix))
    run(sys.executable, "-P", "-m", "build", "--wheel", "--no-isolation", "--outdir", into, cwd=checkout)
    made, = into.glob("hotpath-*.whl")
    return made


def build() -> dict[str, str]:
    """What the compose file is told of images; made, or taken as they are where nothing changed."""
    import docker
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the image has Debian 12's Python, 3.11: no other one's wheel fits")
    with only_one("images"), closing(docker.from_env(version="auto")) as client:
        if building.label(client, BASE) != base.HASH:
            base.make(client)
        mysql = shard_images.build(client)
        recipe = base.digest(base.HASH.encode(), *((ROOT / name).read_bytes() for name in sources()
                                                   if (ROOT / name).is_file()))
        if any(building.label(client, image) != recipe for image in (REDIS, IMAGE)):
            make(recipe)
    return {"HOTPATH_IMAGE": IMAGE, "REDIS_IMAGE": REDIS, "MYSQL_IMAGE": mysql}


def make(recipe: str) -> None:
    """Ours, labelled with what they are made from."""
    with scratch("image-") as folder:
        context = folder / "context"
        shutil.copytree(COMPOSE, context, ignore=shutil.ignore_patterns("dist"))
        dist = context / "dist"
        dist.mkdir()
        ours = wheel(dist, folder / "checkout")
        # What Debian's 3.11.2 needs beside, as ours may be newer.
        run(sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--wheel-dir", dist, f"{ours}[{EXTRAS}]",
            "async-timeout")
        for target, image in (("redis", REDIS), ("hotpath", IMAGE)):
            run("docker", "build", "--quiet", "--network", "host", "--target", target, "--tag", image,
                "--label", f"{base.LABEL}={recipe}", "--build-arg", f"BASE={BASE}", "--build-arg", "PIP=--no-index",
                context, DOCKER_BUILDKIT="0")
