"""What is seen from within a bubblewrap sandbox: the arguments of bwrap."""
from __future__ import annotations

import os
from collections.abc import Iterator

from hotpath.ide.config import SandboxConfig

HOME = "/workspace"
HOST_NAME = "workspace"
UID = GID = 1000

# Roots that are links into /usr on a merged system, else folders of their own.
ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs read and what says nothing of the machine's own affairs.
ETC = ("alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "debian_version", "fonts", "inputrc",
       "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic", "magic.mime", "mime.types",
       "nsswitch.conf", "os-release", "perl", "pki", "profile", "profile.d", "protocols", "python3",
       *(f"python3.{minor}" for minor in range(9, 16)), "rpc", "services", "ssl", "terminfo", "timezone", "vim")
# What name look-ups, TLS and the installers need beside that: with a network only.
ETC_NETWORK = ("gai.conf", "gitconfig", "host.conf", "hosts", "npmrc", "pip.conf", "resolv.conf")


def arguments(
    config: SandboxConfig, files: str, *, network: bool, info: int, passwd: int, group: int, hosts: int
) -> Iterator[str]:
    """Of bwrap: `files` becomes HOME. The numbers are descriptors: where it tells, and contents of files in /etc."""
    yield from ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--as-pid-1", "--clearenv")
    yield from ("--uid", str(UID), "--gid", str(GID), "--hostname", HOST_NAME, "--cap-drop", "ALL")
    if network:
        yield "--share-net"
    yield from ("--info-fd", str(info))
    yield from ("--ro-bind", "/usr", "/usr")
    for root in ROOTS:
        if os.path.islink(root):
            yield from ("--symlink", os.readlink(root), root)
        elif os.path.isdir(root):
            yield from ("--ro-bind", root, root)
    for name in (*ETC, *(ETC_NETWORK if network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--ro-bind-data", str(passwd), "/etc/passwd", "--ro-bind-data", str(group), "/etc/group")
    if not network:
        yield from ("--ro-bind-data", str(hosts), "/etc/hosts")
    yield from ("--proc", "/proc", "--dev", "/dev")
    # Each of these is memory: the machine's half of it, if nobody says how much.
    yield from ("--size", str(config.tmp), "--perms", "1777", "--tmpfs", "/dev/shm")
    yield from ("--size", str(config.tmp), "--perms", "1777", "--tmpfs", "/tmp")
    yield from ("--symlink", "/tmp", "/var/tmp", "--chmod", "0755", "/etc")
    yield from ("--bind", files, HOME, "--chdir", HOME)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")
