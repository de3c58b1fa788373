"""A project from its creation on: prompt, saves, changes that are told; and what a page loads."""
from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

import docker
import docker.errors

from . import ide_house
from .harness import interleave
from .ide_house import Ide
from .ide_sockets import Bare, End

PAGE = Path(__file__).resolve().parent.parent / "ide" / "page"
KIT = Path(__file__).resolve().parent.parent / "core" / "page"        # what every page shares, served beside it as kit/
IMPORT = re.compile(r'(?:from|import)\s*"(\.[^"]+)"')
FIRST = ("codemirror", "xterm")     # bundles that each project's page takes at once
SHELL = ["bash", "--norc", "--noprofile", "-i"]
BYTES = b"x" * 2000


def to_prompt(ide: Ide, n: list[int]) -> float:
    """Seconds from POST to a prompt on a terminal."""
    n[0] += 1
    began = time.perf_counter()
    id = ide.project(f"prompt {n[0]}")
    with closing(ide.shell(id)) as end:
        until_prompt(end)
        took = time.perf_counter() - began
    ide.ask("DELETE", f"/api/projects/{id}?purge=1")
    return took


def until_prompt(end: End) -> None:
    """bash's own: `bash-5.2$ ` or, as root, with a #."""
    seen = b""
    while not seen.rstrip().endswith((b"$", b"#")):
        seen += end.read()


def bare_prompt() -> float:
    """Seconds until a bash is at its prompt."""
    began = time.perf_counter()
    with closing(Bare(SHELL)) as end:
        until_prompt(end)
        return time.perf_counter() - began


def missing_engine() -> str | None:
    """What must be done before containers can be measured; None: nothing."""
    try:
        docker.from_env(version="auto").images.get(ide_house.IMAGE)
    except docker.errors.ImageNotFound:
        return f"no image {ide_house.IMAGE}: run hotpath-ide images"
    except docker.errors.DockerException as error:
        return f"no Docker engine answers ({error}): start it"
    return None


def bare_container(client: docker.DockerClient) -> float:
    """Seconds until a bash is at its prompt in a new container: create, start, exec, and nothing else."""
    began = time.perf_counter()
    container = client.containers.create(ide_house.IMAGE, ["sleep", "600"], network_mode="none", init=True)
    try:
        container.start()
        program = client.api.exec_create(container.id, SHELL, tty=True, stdin=True)
        with closing(client.api.exec_start(program["Id"], tty=True, socket=True)) as stream:
            seen = b""
            while not seen.rstrip().endswith((b"$", b"#")):
                seen += stream._sock.recv(4096)
            return time.perf_counter() - began
    finally:
        container.remove(force=True)


def prompts(kinds: list[str], *, rounds: int) -> list[tuple[str, ...]]:
    """The rows."""
    rows = []
    for kind in kinds:
        bare, name = bare_prompt, "bash on a PTY"
        if kind == "docker":
            client = docker.from_env(version="auto")
            bare, name = lambda client=client: bare_container(client), "create, start, exec"
        with ide_house.ide(kind) as server:
            n = [0]
            taken = interleave({name: bare, kind: lambda n=n, server=server: to_prompt(server, n)},
                               rounds=rounds, title=f"prompt, {kind}")
        rival, ours = (sorted(times) for times in taken.values())
        rows.append((kind, f"{median(ours) * 1e3:.1f}", f"{ours[-1] * 1e3:.1f}", name, f"{median(rival) * 1e3:.1f}",
                     f"{(median(ours) - median(rival)) * 1e3:.1f}", f"{median(ours) / median(rival):.2f}"))
    return rows


def saves(ide: Ide, *, count: int) -> list[tuple[str, ...]]:
    """The rows: a save of 2 KB in place of another, acknowledged, beside the calls that any editor makes."""
    id = ide.project("saves")
    path = f"/api/projects/{id}/file?path=note.txt"
    ide.ask("PUT", path, BYTES, {"If-None-Match": "*"})
    folder = Path(tempfile.mkdtemp(dir=ide.data))

    def ours() -> float:
        began = time.perf_counter()
        ide.ask("PUT", path, BYTES + os.urandom(8), {"If-Match": ide.etag})
        return time.perf_counter() - began

    def bare() -> float:
        began = time.perf_counter()
        fd = os.open(folder / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(fd, BYTES + os.urandom(8))
        os.fsync(fd)
        os.close(fd)
        os.rename(folder / "new", folder / "note.txt")
        within = os.open(folder, os.O_RDONLY)
        os.fsync(within)
        os.close(within)
        return time.perf_counter() - began

    taken = interleave({"fsync, rename, fsync of the folder": bare, "PUT, acknowledged": ours}, rounds=count,
                       title="saves")
    shutil.rmtree(folder)
    base = median(next(iter(taken.values())))
    return [(name, f"{median(times) * 1e3:.2f}", f"{quantiles(times, n=100)[98] * 1e3:.2f}",
             f"{median(times) / base:.2f}") for name, times in taken.items()]


def changes(ide: Ide, *, count: int) -> list[tuple[str, ...]]:
    """The rows: from a write in the project's folder to the event that tells of it."""
    id = ide.project("changes")
    folder = ide.data / "projects" / id / "files"
    times: list[float] = []
    told = threading.Event()
    began = [0.0]
    with closing(ide.events(id)) as socket:
        def listen() -> None:
            while len(times) < count:
                message = json.loads(socket.message())
                if message["type"] == "fs" and any(one["path"].startswith("told") for one in message["changes"]):
                    times.append(time.perf_counter() - began[0])
                    told.set()

        socket.message()            # hello
        time.sleep(0.5)
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        for n in range(count):
            told.clear()
            began[0] = time.perf_counter()
            (folder / f"told{n}.txt").write_bytes(BYTES)
            if not told.wait(10):
                break
            time.sleep(0.05)        # what else it says of this file
    p99 = quantiles(times, n=100)[98]
    return [("write to event", f"{median(times) * 1e3:.1f}", f"{p99 * 1e3:.1f}", str(len(times)))]


def beside(folder: Path, name: str) -> Path:
    """The file that a page in `folder` means by `name`."""
    shared = name.removeprefix("./").removeprefix("kit/")
    return KIT / shared if "kit/" in name else folder / name


def scripts() -> list[tuple[str, ...]]:
    """The rows: what a project's page loads before it can be used, compressed."""
    first = re.findall(r'<script[^>]*src="(?:[^"]*static/)?([^"]+)"', (PAGE / "project.html").read_text())
    waiting, seen = [beside(PAGE, name) for name in first], dict[Path, int]()
    vendor = (PAGE / "vendor.js").read_text()
    for name in FIRST:
        waiting.append(PAGE / re.search(rf'"{name}": \(\) => import\("\./([^"]+)"', vendor)[1])     # type: ignore[index]
    while waiting:
        file = waiting.pop().resolve()
        if file in seen:
            continue
        packed = file.with_name(file.name + ".gz")
        seen[file] = packed.stat().st_size if packed.exists() else len(gzip.compress(file.read_bytes(), 9))
        waiting += [beside(file.parent, found) for found in IMPORT.findall(file.read_text())]
    bundles = sum(size for file, size in seen.items() if "vendor" in file.parts)
    total = sum(seen.values())
    return [("hotpath-ide, a project's page", f"{total / 1000:.0f}", f"{bundles / 1000:.0f}", str(len(seen)))]
