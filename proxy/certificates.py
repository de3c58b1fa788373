"""Certificates of TLS listeners: which one is shown to whom?

They are read once per generation, in the master: a reload shows new ones, and tickets (RFC 8446 2.2) that one worker
gave are good for all workers, since their keys come with the fork.
"""
from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from .config import Certificate, Listen
from .x509 import PEM, Facts, facts

log = logging.getLogger(__name__)

MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

At = tuple[str | int, ...]


class Unfit(Exception):
    """A certificate or key that cannot be used; `at` is the place in the configuration that names it."""

    def __init__(self, at: At, message: str) -> None:
        """Keep the place beside the sentence."""
        super().__init__(message)
        self.at = at
        self.message = message


def contexts(listens: Iterable[Listen]) -> tuple[ssl.SSLContext | None, ...]:
    """For each listener its TLS, None for one in the clear. Raises Unfit. Warns of certificates that have expired."""
    return tuple(None if listen.tls is None else _of_listener(i, listen) for i, listen in enumerate(listens))


def _of_listener(i: int, listen: Listen) -> ssl.SSLContext:
    assert listen.tls is not None
    at: At = ("listen", i, "tls")
    default, names = _load(listen.tls, listen, at)
    exact = dict.fromkeys(names, default)
    for n, more in enumerate(listen.tls.more):
        context, names = _load(more, listen, (*at, "more", n))
        if not names:
            message = f"{more.certificate!r} bears no DNS name, so nobody can ask for it"
            raise Unfit((*at, "more", n, "certificate"), message)
        for name in names:
            exact.setdefault(name, context)
    if listen.tls.more:                 # to be asked costs a handshake 17 µs
        default.sni_callback = Chooser(exact)
    return default


class Chooser:
    """Shows the certificate that bears the name asked for: exactly, else by wildcard; to any other name the default."""

    def __init__(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """`contexts` by name, in lower case."""
        self._contexts = contexts

    def choose(self, name: str) -> ssl.SSLContext | None:
        """The TLS for `name`. A wildcard stands for one label (RFC 6125 6.4.3)."""
        lower = name.lower().removesuffix(".")
        return self._contexts.get(lower) or self._contexts.get("*." + lower.partition(".")[2])

    def __call__(self, session: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """As ssl.SSLContext.sni_callback."""
        chosen = context if name is None else self.choose(name) or context
        if chosen is not context:
            session.context = chosen


def _load(given: Certificate, listen: Listen, at: At) -> tuple[ssl.SSLContext, tuple[str, ...]]:
    assert listen.tls is not None
    found = _facts(given, (*at, "certificate"))
    # Python's defaults for a server are good: ciphers with forward secrecy and encryption that authenticates, ours
    # preferred over the client's, no compression, tickets.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM[listen.tls.minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION          # of TLS 1.2: a client's cheapest way to make us work
    context.set_alpn_protocols(["h2", "http/1.1"] if listen.http2 else ["http/1.1"])
    _text(given.key, (*at, "key"))
    try:
        context.load_cert_chain(given.certificate, given.key, _no_passphrase)
    except Encrypted:
        raise Unfit((*at, "key"), f"{given.key!r} is encrypted; allowed: a key without a passphrase") from None
    except ssl.SSLError as error:
        raise _reason(error, given, at) from None
    return context, found.names


class Encrypted(Exception):
    """A key that asks for a passphrase."""


def _no_passphrase() -> NoReturn:
    raise Encrypted     # without this, OpenSSL would ask on the terminal


def _text(file: str, at: At) -> str:
    try:
        return Path(file).read_text("latin-1")
    except OSError as error:
        raise Unfit(at, f"{file!r} cannot be read: {error.strerror}") from None


def _facts(given: Certificate, at: At) -> Facts:
    match = PEM.search(_text(given.certificate, at))
    if match is None:
        raise Unfit(at, f"{given.certificate!r} holds no certificate in PEM")
    try:
        found = facts(ssl.PEM_cert_to_DER_cert(match.group()))
    except ValueError:
        raise Unfit(at, f"{given.certificate!r} holds a malformed certificate") from None
    if found.not_after < datetime.now(UTC):
        log.warning("certificate expired file=%s not_after=%s", given.certificate, found.not_after.isoformat())
    return found


def _reason(error: ssl.SSLError, given: Certificate, at: At) -> Unfit:
    # The third: it is of another kind than the certificate's.
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return Unfit((*at, "key"), f"{given.key!r} is not the key of {given.certificate!r}")
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        weakness = error.reason.lower().replace("_", " ")
        return Unfit((*at, "certificate"), f"{given.certificate!r} is too weak: {weakness}")
    if "PRIVATE KEY-----" not in _text(given.key, (*at, "key")):
        return Unfit((*at, "key"), f"{given.key!r} holds no private key in PEM")
    cause = (error.reason or str(error)).lower().replace("_", " ")
    return Unfit(at, f"{given.certificate!r} and {given.key!r} cannot be used: {cause}")
