"""What does a certificate say of itself: for which names, and until when? (RFC 5280; X.690 for its bytes.)"""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

SEQUENCE, OCTET_STRING, OID, UTC_TIME, GENERALIZED_TIME = 0x30, 0x04, 0x06, 0x17, 0x18
VERSION, EXTENSIONS = 0xA0, 0xA3        # [0] and [3] of a TBSCertificate
DNS_NAME = 0x82                         # [2] of a GeneralName
SUBJECT_ALT_NAME = bytes.fromhex("551d11")      # 2.5.29.17

PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Facts:
    """`names` are the DNS names in lower case, as `a.example` or `*.a.example`."""

    names: tuple[str, ...]
    not_after: datetime


def facts(der: bytes) -> Facts:
    """What the certificate says. Raises ValueError when it is none."""
    try:
        (_, certificate), = elements(der)
        (_, signed), *_ = elements(certificate)
        fields = list(elements(signed))
        if fields[0][0] == VERSION:
            del fields[0]
        validity, extensions = fields[3][1], [value for tag, value in fields[6:] if tag == EXTENSIONS]
        _, (kind, end) = elements(validity)
        return Facts(names=tuple(_names(extensions)), not_after=_time(kind, end))
    except IndexError:
        raise ValueError("no certificate") from None


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element in `der`. Raises ValueError, IndexError when it is cut short."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size >= 0x80:                # so many bytes of length follow
            n = size - 0x80
            size = int.from_bytes(der[at:at + n], "big")
            at += n
        if at + size > len(der):
            raise ValueError("cut short")
        yield tag, der[at:at + size]
        at += size


def _names(extensions: list[bytes]) -> Iterator[str]:
    for wrapped in extensions:
        (_, listed), = elements(wrapped)
        for _, extension in elements(listed):
            (_, which), *_, (_, value) = elements(extension)
            if which == SUBJECT_ALT_NAME:
                (_, general_names), = elements(value)
                yield from (name.decode("ascii").lower() for tag, name in elements(general_names) if tag == DNS_NAME)


def _time(kind: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if kind == UTC_TIME:                # RFC 5280 4.1.2.5.1: years from 50 on are 19xx
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
