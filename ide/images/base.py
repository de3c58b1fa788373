"""A bare Debian, made from its packages: no registry is needed."""
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hotpath.ide.errors import SandboxFailed

if TYPE_CHECKING:
    import docker

REPOSITORY, TAG = "hotpath/base", "bookworm"
LABEL = "hotpath.recipe"        # the hash of what an image was built from
MINUTES_S = 900.0               # a package mirror may be slow

# As a tar archive. Whatever else makes an image of this name with these very words shares its layer with us.
DEBOOTSTRAP = (
    "mmdebstrap", "--quiet", "--variant=minbase", "--mode=auto",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged",
    '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
    '--customize-hook=rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*', "bookworm",
)


def digest(*pieces: bytes) -> str:
    """A short hash of the pieces and of where each ends."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(b"%d:" % len(piece) + piece)
    return hashed.hexdigest()[:16]


HASH = digest(repr(DEBOOTSTRAP).encode())


def make(client: docker.DockerClient) -> None:
    """Import it into the engine. Raises SandboxFailed."""
    if shutil.which(DEBOOTSTRAP[0]) is None:
        raise SandboxFailed("mmdebstrap is not installed: as root, apt-get install mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="hotpath-image-") as folder:
        archive = Path(folder, "base.tar")
        run((*DEBOOTSTRAP, str(archive)), Path(folder))
        client.api.import_image_from_file(str(archive), repository=REPOSITORY, tag=TAG,
                                          changes=["ENV LANG=C.UTF-8", 'CMD ["bash"]', f"LABEL {LABEL}={HASH}"])


def run(command: tuple[str, ...], scratch: Path) -> None:
    """A command that may take minutes. Raises SandboxFailed with its last words."""
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=MINUTES_S,
                       env={**os.environ, "TMPDIR": str(scratch)})
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise SandboxFailed(f"{command[0]} failed with {error.returncode}: {' / '.join(said[-5:])}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxFailed(f"{command[0]}: {error}") from None
