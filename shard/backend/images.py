"""The image of a shard's container: pulled, or built from Debian's packages where it cannot be had."""
from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from hotpath.shard.config import DockerConfig

from .errors import CannotStart

log = logging.getLogger(__name__)

RECIPE = Path(__file__).with_name("image")
BUILT = "hotpath/mysql:local"
BASE, BASE_TAG = "hotpath/base", "bookworm"
LABEL = "hotpath.recipe"        # the hash of what an image was built from
MINUTES_S = 900.0               # a package mirror may be slow

# A bare Debian, as a tar archive. Whatever has it already under this name may share its layer.
DEBOOTSTRAP = (
    "mmdebstrap", "--quiet", "--variant=minbase", "--mode=auto",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged",
    '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
    '--customize-hook=rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*', "bookworm",
)
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def obtain(client: docker.DockerClient, config: DockerConfig) -> str:
    """The name of an image that the engine has. Raises CannotStart."""
    if config.build == "always":
        return build(client)
    if _has(client, config.image):
        return config.image
    # Nobody must be able to offer us our own name.
    why = None if config.image == BUILT else _pulled(client, config.image)
    if why is None and config.image != BUILT:
        return config.image
    if config.build == "never":
        raise CannotStart(f"docker.image: {config.image} is not on this machine, and cannot be pulled: {why}; put it "
                          "there, name another, or let us build one with docker.build: auto")
    log.info("building image=%s instead=%s", BUILT, config.image)
    try:
        return build(client)
    except CannotStart as error:
        raise CannotStart(f"docker.image: {config.image} cannot be pulled ({why}), nor one be built in its place: "
                          f"{error}") from None


def _has(client: docker.DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _pulled(client: docker.DockerClient, image: str) -> str | None:
    """Pull it; why that failed, if it did."""
    log.info("pulling image=%s", image)
    try:
        client.images.pull(image)
    except (APIError, ImageNotFound) as error:
        return str(error.explanation or error)
    return None


def build(client: docker.DockerClient) -> str:
    """Build what is missing or made from an older recipe; its name. Raises CannotStart."""
    with _alone():
        base_hash = _hash(repr(DEBOOTSTRAP).encode())
        files = sorted(path for path in RECIPE.iterdir() if path.is_file())
        recipe_hash = _hash(base_hash.encode(), *(path.read_bytes() for path in files))
        if _label(client, BUILT) == recipe_hash:
            return BUILT
        try:
            if _label(client, f"{BASE}:{BASE_TAG}") != base_hash:
                _build_base(client, base_hash)
            client.images.build(path=str(RECIPE), tag=BUILT, network_mode="host", rm=True, forcerm=True,
                                labels={LABEL: recipe_hash}, timeout=int(MINUTES_S),
                                buildargs={name: os.environ[name] for name in PROXIES if name in os.environ})
        except BuildError as error:
            said = [str(line["stream"]).strip() for line in error.build_log if line.get("stream")]
            raise CannotStart(f"{BUILT}: {error.msg}: {' / '.join(said[-5:])}") from None
        except DockerException as error:
            raise CannotStart(f"{BUILT}: {error}") from None
        return BUILT


def _build_base(client: docker.DockerClient, label: str) -> None:
    if shutil.which(DEBOOTSTRAP[0]) is None:
        raise CannotStart("mmdebstrap is not installed: as root, apt-get install mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="hotpath-image-") as folder:
        archive = Path(folder, "base.tar")
        try:
            subprocess.run([*DEBOOTSTRAP, str(archive)], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                           timeout=MINUTES_S, env={**os.environ, "TMPDIR": folder})
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            raise CannotStart(f"mmdebstrap failed with {error.returncode}: {' / '.join(said[-5:])}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotStart(f"mmdebstrap: {error}") from None
        client.api.import_image_from_file(str(archive), repository=BASE, tag=BASE_TAG,
                                          changes=["ENV LANG=C.UTF-8", 'CMD ["bash"]', f"LABEL {LABEL}={label}"])


def _label(client: docker.DockerClient, image: str) -> str | None:
    try:
        label = client.images.get(image).labels.get(LABEL)
    except ImageNotFound:
        return None
    return None if label is None else str(label)


def _hash(*pieces: bytes) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(b"%d:" % len(piece) + piece)
    return digest.hexdigest()[:16]


@contextmanager
def _alone() -> Iterator[None]:
    """Two clusters that start at once build one image."""
    fd = os.open(RECIPE / "Dockerfile", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
