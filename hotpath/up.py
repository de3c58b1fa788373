"""`hotpath up`: the whole house on one machine, behind the proxy.

Starts every part, says where to look when all of them are well, keeps them running, shows their logs as one stream,
and ends them together. What they are doing stands in `status.json`, which the landing page reads.
"""
from __future__ import annotations

import argparse
import errno
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hotpath import __version__
from hotpath.core.config import Address
from hotpath.core.errors import ListenError
from hotpath.core.listen import Listeners
from hotpath.core.notify import READY, STOPPING, notify
from hotpath.core.serve.config import Parser
from hotpath.core.supervise import Supervisor
from hotpath.core.voice import Voice

from . import engines
from .home import CannotStart, Home, taken
from .parts import NAMES, Door, Member, Site, furnished
from .watch import Watch

log = logging.getLogger(__name__)

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_DATA = "./hotpath-data"
# Before the house is up for the first time we give up on a process that refuses its configuration (status 2), dies
# this often, or is not well by then; later, whatever happens is repaired for as long as we run.
REFUSED = 2
DEATHS_ALLOWED = 5
WELL_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0            # more than all drains
FAREWELL_WITHIN_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """The `hotpath` command; its exit status: 0 after a clean stop, 1 when it cannot go on, 2 for bad use."""
    given = arguments(argv)
    try:
        return run(given.listen, given.data, given.only, is_real=given.real)
    except CannotStart as error:
        print(f"hotpath up: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:       # before there was anything to stop
        return 1


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="hotpath", description="Six classic systems on one small hand-written core.",
                    allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up", parser_class=Parser)
    up = commands.add_parser(
        "up", help="start everything behind the proxy", allow_abbrev=False,
        description="Start every system behind the proxy, on embedded defaults, and keep it running: what dies is "
                    "started again. Ctrl-C stops it; a second one stops it at once.",
        epilog=f"With --real: MySQL or MariaDB at {engines.MYSQL_VARIABLE} (default: {engines.MYSQL}) under shard, "
               f"chat and locking; Redis at {engines.REDIS_VARIABLE} (default: {engines.REDIS}) under chat; Docker at "
               f"{engines.DOCKER_VARIABLE} (default: {engines.DOCKER}) under the IDE. What does not answer is said, "
               "and the part has its default. "
               "Exit status: 0 after a clean stop, 1 when a part does not get well, 2 for bad use.")
    up.add_argument("--listen", default=DEFAULT_LISTEN, metavar="HOST:PORT",
                    help="where the proxy listens, on this machine alone; port 0 takes a free one (default: "
                         "%(default)s)")
    up.add_argument("--data", default=Path(DEFAULT_DATA), metavar="DIR", type=Path,
                    help=f"where everything is kept (default: {DEFAULT_DATA})")
    up.add_argument("--real", action="store_true", help="use MySQL, Redis and Docker where they answer")
    up.add_argument("--only", default=NAMES, metavar="NAME,…", type=names,
                    help=f"only these, and the proxy before them: {', '.join(NAMES[1:])}")
    return parser.parse_args(argv)


def names(text: str) -> tuple[str, ...]:
    """Some of the parts, for argparse."""
    given = tuple(text.split(","))
    for name in given:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is no part; allowed: {', '.join(NAMES)}")
    return given


def run(listen: str, data: Path, only: Sequence[str], *, is_real: bool) -> int:
    """Start the house, keep it, end it; the exit status. Raises CannotStart."""
    voice = Voice(sys.stdout.fileno())
    with ExitStack() as stack:
        stack.enter_context(voice.logging("hotpath | "))
        door = stack.enter_context(opened(listen))
        home = stack.enter_context(taken(data))
        found = engines.found(home.id, only) if is_real else engines.EMBEDDED
        for line in found.said:
            log.info("%s", line)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotpath-up-")))
        try:
            members = furnished(Site(door, home, found, folder, stack), only)
        except ListenError as error:        # a folder for temporary files whose path is too long for a socket's
            raise CannotStart(f"cannot listen on {error.address}: {error.cause}; allowed: a shorter TMPDIR") from None
        except OSError as error:
            raise CannotStart(f"--data: {home.folder} cannot be written: {error.strerror}") from None
        return keep(members, folder / "public" / "status.json", voice,
                    lambda watch: welcome(door, home, members, watch))


def keep(members: Sequence[Member], status: Path, voice: Voice, welcome: Callable[[Watch], str]) -> int:
    """From the first process to the last; 0 after a clean stop, 1 when we cannot go on."""
    def hear(line: str) -> None:
        watch.hear(line)
        voice.say(line)

    processes = [process for member in members for process in member.processes]
    with Supervisor(processes, write=hear) as supervisor:
        watch = Watch(members, supervisor, status)
        missing = start(supervisor, watch)
        if not missing and not supervisor.stopping:
            voice.say(welcome(watch))
            notify(READY)
        # As any command in a pipe we end with whoever reads us.
        while not (missing or supervisor.stopping or voice.is_alone):
            supervisor.turn(watch.wait_s)
            watch.check_when_due()
        log.info("stopping")
        notify(STOPPING)
        # The door first: what it was asked for is still answered, and nobody new comes in.
        supervisor.stop(STOP_WITHIN_S, last=[process.name for process in processes[1:]])
    for member in members:
        if member.farewell:
            take_leave(member, voice)
    if missing:
        print(f"hotpath up: cannot go on without {', '.join(missing)}; its own words are above", file=sys.stderr)
    return 1 if missing or voice.is_alone else 0


def start(supervisor: Supervisor, watch: Watch) -> list[str]:
    """Wait until all are well and have had their say, or we are told to stop; those that we cannot go on without."""
    give_up_s = time.monotonic() + WELL_WITHIN_S
    while watch.unwell or watch.starting:
        supervisor.turn(watch.wait_s)
        if supervisor.stopping:
            break
        hopeless = [child.part.name for child in supervisor.children
                    if (child.restarts and child.last_status == REFUSED) or child.restarts >= DEATHS_ALLOWED]
        if hopeless or time.monotonic() > give_up_s:
            return hopeless or watch.unwell or watch.starting
        watch.check_when_due()
    return []


def take_leave(member: Member, voice: Voice) -> None:
    """End what a part's processes leave running on purpose."""
    try:
        done = subprocess.run(member.farewell, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=FAREWELL_WITHIN_S, check=False)
        said = f"{done.stdout}{done.stderr}".strip()
    except subprocess.TimeoutExpired:
        said = f"did not end within {FAREWELL_WITHIN_S:g} s: {' '.join(member.farewell)}"
    for line in said.splitlines():
        voice.say(f"{member.name} | {line}")


@contextmanager
def opened(listen: str) -> Iterator[Door]:
    """The door, listening: whoever comes while the proxy starts waits a moment. Raises CannotStart."""
    try:
        address = Address.parse(listen)
    except ValueError as error:
        raise CannotStart(f"--listen: {error}") from None
    if address.is_unix:
        raise CannotStart("--listen: a browser cannot open a unix socket; allowed: HOST:PORT")
    if not address.is_loopback:
        raise CannotStart(f"--listen: {address} can be reached by others, and most parts ask nobody who they are; "
                          f"allowed: an address of this machine alone, as {DEFAULT_LISTEN}")
    listeners = Listeners()
    try:
        ((first, *more),) = listeners.bind([address])
    except ListenError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"--listen: {address} is taken; stop what listens there, or name another HOST:PORT") from None
        raise CannotStart(f"--listen: cannot listen on {address}: {error.cause}") from None
    try:
        port = first.getsockname()[1]
        # `localhost` may be two addresses, to which the kernel gives two ports where it chooses.
        yield Door(Address(address.host, port), [first, *(sock for sock in more if sock.getsockname()[1] == port)])
    finally:
        listeners.close()


def welcome(door: Door, home: Home, members: Sequence[Member], watch: Watch) -> str:
    """What to do now that everything runs."""
    urls = {f"{door.url}/": "what runs here, and how it is"}
    for member in members:
        if member.path is not None:
            engine = watch.engine(member.name)
            urls[f"{door.url}{member.path}"] = f"{member.title}{f' ({engine})' if engine else ''}"
    width = max(map(len, urls))
    lines = [f"  {url:{width}}  {text}" for url, text in urls.items()]
    token = home.folder / "ide" / "token"
    if any(member.name == "ide" for member in members):
        # It lets whoever has it run programs here: for the person at the keyboard, and nobody's page.
        lines.append(f"The IDE signs you in at {door.url}/ide/#token={token.read_text().strip()}")
    return "\n".join(["", "hotpath is up:", *lines, f"Data in {home.folder}. Ctrl-C stops it.", ""])


if __name__ == "__main__":
    raise SystemExit(main())
