"""The command `hotpath-ide`: its words, and who does what they say."""
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from hotpath import __version__
from hotpath.core.config import load
from hotpath.core.serve.command import run_command
from hotpath.core.serve.config import Parser, add_flags

from .config import IdeConfig, located

EXITS = ("Exit status: 0; 1 when it was refused or failed, with the reason on stderr; 2 for a mistake in file or "
         "flags, with FILE:LINE: key: what is wrong, what is allowed.")
SERVE = (
    "FILE (YAML) holds listen, base_path, data, auth: {mode, token, origins}, preview: {listen, host}, sandbox: {kind, "
    "user, network, install_network, memory, cpus, pids, nofile, file_size, tmp, disk, files, start_timeout, "
    "docker_host, allow_unsandboxed}, terminal: {shell, ring, window, max}, idle: {stop_after, warn}, limits: "
    "{projects, file, upload, unzip, unzip_files, tree, search, watches}, history: {keep, file}, trash_days, backup: "
    "{bucket, prefix, endpoint, region, every, keep}, templates, and timeouts, log, pid_file and user as every "
    "server's. A flag wins over FILE. Signals: HUP reads limits and timeouts anew, TERM or QUIT drain and stop, USR1 "
    "reopens the logs, USR2 upgrades the binary. " + EXITS)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="hotpath-ide", allow_abbrev=False,
        description="A cloud IDE in the browser: projects, files, an editor, terminals, a sandbox for each project.",
        epilog="`hotpath-ide COMMAND --help` says more. " + EXITS)
    parser.add_argument("--version", action="version", version=f"hotpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, about: str, description: str, run: Callable[[argparse.Namespace], int]) -> Parser:
        made = commands.add_parser(name, allow_abbrev=False, help=about, description=description, epilog=EXITS)
        made.set_defaults(run=run)
        return made

    def config(parser: Parser) -> None:
        parser.add_argument("-c", "--config", metavar="FILE",
                            help="the configuration (YAML); without one, every default")

    one = command("serve", "serve until told to stop",
                  "Serve projects to browsers, and print the address that signs one in: http://HOST:PORT/#token=…",
                  run_serve)
    one.epilog = SERVE
    add_flags(one, alone=True)
    one = command("images", "build the container images that are missing",
                  "Build the images of the built-in templates, for sandbox.kind docker; those that are there are left "
                  "as they are.", run_images)
    config(one)
    one.add_argument("names", metavar="NAME", nargs="*", help="only these (default: all)")
    one = command("backup", "copy a project to the store",
                  "Copy a project to the configured bucket, and print the number of the backup.", run_backup)
    config(one)
    one.add_argument("id", metavar="ID", help="of the project")
    one = command("restore", "take a backup up as a new project",
                  "Make a new project of a backup, and print its id. The old project stays as it is. A server "
                  "that runs shows the new one from its next start on; its page's own Restore shows it at once.",
                  run_restore)
    config(one)
    one.add_argument("id", metavar="ID", help="of the project that was backed up, here or elsewhere")
    one.add_argument("--seq", type=number, metavar="N", help="which backup (default: the last)")
    one.add_argument("--name", metavar="NAME", help="of the new project (default: the old one's id, and that it is "
                                                    "restored)")
    return parser.parse_args(argv)


def config_of(file: str | None) -> IdeConfig:
    """The file's configuration, for commands that serve nothing. Raises ConfigError."""
    return located(load(file, IdeConfig), file)


def number(text: str) -> int:
    """From 1, for argparse."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 99_999_999):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: 1 to 99999999")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 when it was refused or failed, 2 for a mistake in file or flags."""
    return run_command("hotpath-ide", arguments(argv))


# Each command imports what it alone needs.

def run_serve(given: argparse.Namespace) -> int:
    """`serve`."""
    from . import server
    return server.run(given)


def run_images(given: argparse.Namespace) -> int:
    """`images`."""
    from .images import command
    return command(config_of(given.config), given.names)


def run_backup(given: argparse.Namespace) -> int:
    """`backup`."""
    from .backup.commands import backup
    return backup(config_of(given.config), given.id)


def run_restore(given: argparse.Namespace) -> int:
    """`restore`."""
    from .backup.commands import restore
    return restore(config_of(given.config), given.id, given.seq, given.name)
