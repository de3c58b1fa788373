"""Listening sockets: bound once, shared by workers, kept across reloads, handed over on upgrade."""
from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass

from .errors import ListenError
from .scalars import Address

# How an upgrading master tells the next one which descriptor listens on which address: a JSON object.
VARIABLE = "HOTPATH_LISTENERS"

# As many as the kernel will grant: it cuts this to net.core.somaxconn, 4096 since Linux 5.4.
BACKLOG = 4096

# `localhost` also means ::1, which a machine without IPv6 does not have: one of the two is enough.
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

# What socket.bind() takes: a path, or what getaddrinfo() answers: host, port and, for IPv6, two more.
Place = str | tuple[str | int | bytes, ...]


def name_of(listener: socket.socket) -> str:
    """Where `listener` really listens: port 0 has become a number."""
    name = listener.getsockname()
    return str(Address(path=name) if listener.family == socket.AF_UNIX else Address(name[0], name[1]))


@dataclass(slots=True)
class _Listener:
    socket: socket.socket
    # The unix socket file that we remove with it, by device and inode: what stands there later may be somebody else's.
    # None: there is no file, or it is not ours to remove.
    file: tuple[int, int] | None


class Listeners:
    """The listening sockets of one master, each kept by its address for as long as a configuration wants it."""

    def __init__(self) -> None:
        self._open: dict[str, _Listener] = {}

    @classmethod
    def inherited(cls, environment: MutableMapping[str, str]) -> Listeners:
        """What the master before us hands over, if one does.

        Takes the variable out of `environment`: in a grandchild those numbers are other files. Socket files stay the
        old master's until `own_files()`. Raises ListenError for a descriptor that does not listen.
        """
        listeners = cls()
        handed_over = environment.pop(VARIABLE, None)
        if handed_over is None:
            return listeners
        for key, fd in json.loads(handed_over).items():
            try:
                listener = socket.socket(fileno=fd)
                if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listener.detach()       # not ours to close
                    raise ListenError(key, f"inherited descriptor {fd} does not listen")
            except OSError as error:
                raise ListenError(key, f"inherited descriptor {fd}: {error.strerror}") from error
            listener.set_inheritable(False)
            listener.setblocking(False)
            listeners._open[key] = _Listener(listener, None)
        return listeners

    def handover(self) -> tuple[str, list[int]]:
        """The value of `VARIABLE` for the next master, and the descriptors that must survive its exec."""
        fds = {key: listener.socket.fileno() for key, listener in self._open.items()}
        return json.dumps(fds), list(fds.values())

    def bind(self, addresses: Iterable[Address]) -> list[tuple[socket.socket, ...]]:
        """For each address its sockets: one, or as many as its host name has addresses.

        Non-blocking and listening. An address that is already open keeps its socket; the n-th port 0 of a host is the
        n-th of every call. The umask decides who may connect to a unix socket. Raises ListenError, and then leaves
        everything as it was.
        """
        bound: dict[str, _Listener] = {}
        chosen: dict[str, int] = {}
        found: list[tuple[socket.socket, ...]] = []
        try:
            for address in addresses:
                found.append(tuple(self._bind_one(address, bound, chosen)))
        except BaseException:
            for listener in bound.values():
                _close(listener)
            raise
        self._open.update(bound)
        return found

    def _bind_one(self, address: Address, bound: dict[str, _Listener], chosen: dict[str, int]) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        absent: OSError | None = None
        for key, family, place in _places(address):
            if not address.is_unix and address.port == 0:
                chosen[key] = chosen.get(key, 0) + 1
                key = f"{key}#{chosen[key]}"
            known = self._open.get(key) or bound.get(key)
            if known is None:
                try:
                    known = bound[key] = _listen(family, place)
                except OSError as error:
                    if error.errno not in ABSENT:
                        raise ListenError(str(address), _cause(error)) from error
                    absent = error
                    continue
            sockets.append(known.socket)
        if absent is not None and not sockets:
            raise ListenError(str(address), _cause(absent)) from absent
        return sockets

    def own_files(self) -> None:
        """Remove the files of unix sockets when these are closed: the master before us no longer will."""
        for listener in self._open.values():
            listener.file = _file_of(listener.socket)

    def disown_files(self) -> None:
        """Leave the files of unix sockets to another process from now on."""
        for listener in self._open.values():
            listener.file = None

    def retain(self, sockets: Iterable[socket.socket]) -> None:
        """Close every socket that is not among `sockets`."""
        wanted = {id(each) for each in sockets}
        for key, listener in list(self._open.items()):
            if id(listener.socket) not in wanted:
                _close(self._open.pop(key))

    def close(self) -> None:
        """Close them all, here only: a forked copy goes on listening until it is closed too."""
        self.retain(())


def _places(address: Address) -> list[tuple[str, int, Place]]:
    """(key, family, where) of each socket that `address` asks for; the key names it across reloads and upgrades."""
    if address.is_unix:
        return [(str(address), socket.AF_UNIX, address.path)]
    try:
        answers = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(str(address), f"cannot resolve: {_cause(error)}") from error
    places = [(str(Address(str(place[0]), address.port)), family, place) for family, _, _, _, place in answers]
    # /etc/hosts may give a name the same address twice.
    return list(dict.fromkeys(places))


def _cause(error: OSError) -> str:
    """`address already in use`: the kernel's words, as the end of our sentence."""
    words = error.strerror or str(error)
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]      # not AF_UNIX


def _listen(family: int, place: Place) -> _Listener:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if isinstance(place, str):
            _remove_stale(place)
        else:
            # Connections of the server before us, in TIME_WAIT, do not stop us; a live listener does.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted sockets inherit it; before listen, as connections may be made before any worker is there. Without
            # it the last segment of an answer waits for an acknowledgement that is 40 ms late.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # [::]:80 and 0.0.0.0:80 are two addresses, whatever net.ipv6.bindv6only says.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(place)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return _Listener(listener, _file_of(listener))


def _remove_stale(path: str) -> None:
    """Remove the socket file that a killed server left at `path`; OSError when a live one, or no socket, is there."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is not a socket stands there")
    with socket.socket(socket.AF_UNIX) as probe:
        # A live server whose backlog is full would make us wait.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "address already in use: a server answers there")


def _file_of(listener: socket.socket) -> tuple[int, int] | None:
    if listener.family != socket.AF_UNIX:
        return None
    try:
        file = os.stat(listener.getsockname())
    except OSError:
        return None
    return file.st_dev, file.st_ino


def _close(listener: _Listener) -> None:
    if listener.file is not None and listener.file == _file_of(listener.socket):
        # Gone since that line: then there is nothing left to do.
        with suppress(FileNotFoundError):
            os.unlink(listener.socket.getsockname())
    listener.socket.close()
