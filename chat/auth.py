"""Who is it? Passwords, session tokens, and the one-time tickets that gateways let in.

A password is kept as an argon2id hash, a session's token as its SHA-256: whoever reads the database logs in with
neither. A ticket carries what a gateway must know, under an HMAC with the secret that all parts share in DATA/secret,
so API and gateways need no common memory.
"""
from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import argon2

from hotpath.core.durable import sync_folder
from hotpath.core.errors import ConfigError, HotpathError

# OWASP's password storage cheat sheet asks for 46 MiB at one pass and one lane, or more; the memory is what an
# attacker's hardware pays for.
MEMORY_KIB = 64 * 1024
PASSES = 1
LANES = 1
# How many are computed at the same time, at that much memory each.
AT_ONCE = 2

TOKEN_BYTES = 32
SECRET_BYTES = 32
SECRET_FILE = "secret"

# From the answer of /api/connect to the upgrade: a gateway remembers used tickets for as long.
TICKET_S = 30
# The first word of every ticket: another form gets another one.
TICKET_FORM = "1"
MAX_TICKET = 300


class Hasher:
    """Hashes and checks passwords: 64 MiB and tens of milliseconds each, so call it in a thread."""

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        # Nobody's: checked when there is no such user, so that the answer takes as long.
        self._nobody = self._argon2.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """What is kept of `password`: its parameters, salt and digest as one text."""
        return self._argon2.hash(password)

    def verify(self, password: str, kept: str | None) -> bool:
        """Whether `password` is the one that `kept` was made of. None: there is no such user; it takes as long."""
        try:
            self._argon2.verify(self._nobody if kept is None else kept, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return kept is not None


def new_token() -> tuple[str, bytes]:
    """A session's token for its client, and the hash of it that is kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token, token_hash(token)


def token_hash(token: str) -> bytes:
    """What is kept of a token. It is random, so that a fast hash without salt is enough."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def secret(folder: Path) -> bytes:
    """The secret in DATA/secret; made, readable for us alone, if there is none. Raises ConfigError or OSError."""
    path = folder / SECRET_FILE
    with suppress(FileNotFoundError):
        return _read_secret(path)
    # Linked into place whole: several parts may start at once, and one of them wins.
    draft = folder / f"{SECRET_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_hex(SECRET_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    sync_folder(folder)
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    with open(path, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(1024)
    if mode & 0o077:
        raise ConfigError(str(path), 0, "", f"mode {mode:04o} lets others read it; allowed: 0600")
    try:
        value = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        value = b""
    if len(value) != SECRET_BYTES:
        raise ConfigError(str(path), 0, "", f"no secret of ours; allowed: {2 * SECRET_BYTES} hexadecimal digits, or no "
                                            "such file: then one is made")
    return value


class BadTicket(HotpathError):
    """The client: a ticket that this gateway does not accept, and why. A new one comes from /api/connect."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One upgrade on one gateway by one user."""

    user: int
    session: int
    gateway: str
    boot: str           # of the gateway's process: what it remembers of used tickets dies with it
    expires_ms: int     # since 1970
    serial: str         # random; by it a used one is known again


def new_ticket(user: int, session: int, gateway: str, boot: str, *, now_s: float) -> Ticket:
    """A ticket that is good for TICKET_S from now on."""
    return Ticket(user, session, gateway, boot, int((now_s + TICKET_S) * 1000), secrets.token_hex(8))


def sign_ticket(secret: bytes, ticket: Ticket) -> str:
    """The ticket as it travels: URL-safe ASCII. ValueError: a name in it holds a dot."""
    words = (TICKET_FORM, str(ticket.user), str(ticket.session), ticket.gateway, ticket.boot, str(ticket.expires_ms),
             ticket.serial)
    text = ".".join(words)
    if text.count(".") != len(words) - 1:
        raise ValueError(f"a dot in {words}")
    return f"{text}.{_mac(secret, text)}"


def open_ticket(secret: bytes, text: str, *, gateway: str, nonce: str, now_s: float) -> Ticket:
    """The ticket that `text` spells, made for this gateway and its `nonce`, and not yet expired. Raises BadTicket.

    Whether it was used already, the gateway knows.
    """
    body, _, mac = text.rpartition(".")
    # The MAC first, in constant time: nothing of a forged ticket is interpreted.
    if len(text) > MAX_TICKET or not text.isascii() or not hmac.compare_digest(_mac(secret, body), mac):
        raise BadTicket("no ticket of ours")
    form, *words = body.split(".")
    if form != TICKET_FORM:
        raise BadTicket("a ticket of another version")
    user, session, wanted, boot, expires_ms, serial = words
    ticket = Ticket(int(user), int(session), wanted, boot, int(expires_ms), serial)
    if ticket.gateway != gateway:
        raise BadTicket(f"a ticket for gateway {wanted}, this is {gateway}")
    if ticket.boot != nonce:
        raise BadTicket("a ticket for this gateway before its restart")
    if now_s * 1000 >= ticket.expires_ms:
        raise BadTicket("the ticket has expired")
    return ticket


def _mac(secret: bytes, text: str) -> str:
    # 128 bits of it: a guess is good for 30 seconds, and each one costs a request.
    return hmac.digest(secret, text.encode(), "sha256").hex()[:32]
