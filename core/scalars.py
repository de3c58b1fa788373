"""Durations, sizes, rates, addresses and networks: how a config file spells them.

A class with `parse(text)` and `str()` is read from one YAML scalar and written back as one. `Duration` and `Size`
are plain numbers to their readers; only their spelling is special.
"""
from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, NamedTuple, Self

import msgspec

Scalar = str | int | float | bool | None

# Ten years. What is longer is a slip of the pen, and every duration fits 64 bits of nanoseconds.
MAX_DURATION_S = 10 * 366 * 24 * 3600.0
# The finest clock we ask ticks in microseconds.
MIN_DURATION_S = 1e-6
# Sizes become signed 64-bit counts in C.
MAX_SIZE = 2**63 - 1
# Rate limits count in whole microseconds between two requests.
MAX_PER_SECOND = 1_000_000
# sockaddr_un.sun_path is 108 bytes with its NUL (unix(7)).
MAX_UNIX_PATH = 107

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,30})?)(ms|s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SIZE = re.compile(r"([0-9]{1,19})(?:([kmg])(?:iB)?)?", re.IGNORECASE)
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_RATE = re.compile(r"([0-9]{1,12})/([smh])")
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


class Spelling(NamedTuple):
    """How a plain str, int or float is read from YAML and written back; `spelled` hangs it on a type."""

    read: Callable[[Scalar], str | int | float]     # raises ValueError: what is wrong, what is allowed
    write: Callable[[float], str] | None = None     # None: as it stands


def spelled(read: Callable[[Scalar], str | int | float], write: Callable[[float], str] | None = None) -> msgspec.Meta:
    """The mark that makes `Annotated[T, spelled(read)]` be read by `read` and dumped by `write`."""
    return msgspec.Meta(extra={"spelling": Spelling(read, write)})


def read_duration(value: Scalar) -> float:
    """Seconds of `250ms`, `10s`, `5m`, `1h` or a bare 0. Raises ValueError."""
    if type(value) in (int, float) and value == 0:
        return 0.0
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is not a duration; allowed: a number with ms, s, m or h, as 250ms, or 0")
    number, unit = match.groups()
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    if seconds and not MIN_DURATION_S <= seconds <= MAX_DURATION_S:
        raise ValueError(f"{shown(value)} is out of range; allowed: 0, or 0.001ms to {write_duration(MAX_DURATION_S)}")
    return seconds


def write_duration(seconds: float) -> str:
    """The shortest spelling that reads back as exactly `seconds`."""
    if seconds == 0:
        return "0s"
    for unit in ("h", "m", "s"):
        count = round(seconds / _SECONDS[unit])
        if count and float(count) * _SECONDS[unit] == seconds:
            return f"{count}{unit}"
    thousandths = round(seconds * 1000)
    if thousandths and float(thousandths) / 1000 == seconds:
        return f"{thousandths}ms"
    return f"{Decimal(repr(seconds)):f}s"


def read_size(value: Scalar) -> int:
    """Bytes of `8k`, `1m`, `1g` (powers of 1024; `8KiB` says the same) or a plain number. Raises ValueError."""
    text = str(value) if type(value) is int else value
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is not a size; allowed: bytes, or a number with k, m or g, as 8k, 16m or 1g")
    size = int(match[1]) * _BYTES[(match[2] or "").lower()]
    if size > MAX_SIZE:
        raise ValueError(f"{shown(value)} is too large; allowed: up to {MAX_SIZE} bytes")
    return size


def write_size(size: float) -> str:
    """The shortest spelling of `size` bytes."""
    whole = int(size)
    for unit in ("g", "m", "k"):
        if whole and whole % _BYTES[unit] == 0:
            return f"{whole // _BYTES[unit]}{unit}"
    return str(whole)


Duration = Annotated[float, spelled(read_duration, write_duration)]
Size = Annotated[int, spelled(read_size, write_size)]


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests in `per_s` seconds."""

    forms: ClassVar[str] = "N/s, N/m or N/h, N from 1, as 600/m"

    count: int
    per_s: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `10/s`, `600/m` or `5/h`. Raises ValueError."""
        match = _RATE.fullmatch(text)
        if match is None or int(match[1]) < 1:
            raise ValueError(f"{shown(text)} is not a rate; allowed: {cls.forms}")
        rate = cls(int(match[1]), float(_SECONDS[match[2]]))
        if rate.count > MAX_PER_SECOND * rate.per_s:
            raise ValueError(f"{shown(text)} is too fast; allowed: up to {MAX_PER_SECOND}/s")
        return rate

    @property
    def period_s(self) -> float:
        """Seconds between two requests at this rate."""
        return self.per_s / self.count

    def __str__(self) -> str:
        """As `parse` reads it."""
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.per_s)
        return f"{self.count}/{unit}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect: `host` and `port`, or `path` for a unix socket; the other half is empty.

    An IPv6 `host` stands without its brackets. Port 0 asks the kernel for a free one when listening.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    forms: ClassVar[str] = "HOST:PORT, [V6]:PORT or unix:PATH"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`, `[V6]:PORT` or `unix:PATH`. Raises ValueError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path or "\0" in path or len(path.encode(errors="surrogateescape")) > MAX_UNIX_PATH:
                raise ValueError(f"{shown(text)} has no usable path; allowed: unix: and 1 to {MAX_UNIX_PATH} bytes")
            return cls(path=path)
        host, colon, port = text.rpartition(":")
        if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
            raise ValueError(f"{shown(text)} is not an address; allowed: {cls.forms}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if not _is_ip(host, ipaddress.IPv6Address):
                raise ValueError(f"{shown(text)}: {shown(host)} is not an IPv6 address")
        elif ":" in host:
            raise ValueError(f"{shown(text)} is ambiguous; allowed: an IPv6 address in brackets, [V6]:PORT")
        elif host.replace(".", "").isdigit() and not _is_ip(host, ipaddress.IPv4Address):
            raise ValueError(f"{shown(text)}: {shown(host)} is not an IPv4 address")
        elif len(host) > 253 or not _HOST.fullmatch(host):
            raise ValueError(f"{shown(text)}: {shown(host)} is not a host; allowed: a name, an IPv4 address or [V6]")
        return cls(host=host, port=int(port))

    @property
    def is_unix(self) -> bool:
        """Whether this is a unix socket."""
        return bool(self.path)

    @property
    def is_ip(self) -> bool:
        """Whether `host` is an IP literal, which needs no resolver."""
        return _is_ip(self.host, ipaddress.IPv4Address) or _is_ip(self.host, ipaddress.IPv6Address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: a unix socket, 127/8, ::1, or localhost (RFC 6761)."""
        if self.is_unix or self.host.rstrip(".").lower() == "localhost":
            return True
        return self.is_ip and ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.is_unix:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses whose first `prefix` bits are those of `packed` (4 or 16 bytes, network order)."""

    packed: bytes
    prefix: int

    forms: ClassVar[str] = "a CIDR as 10.0.0.0/8, or an address"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CIDR such as `10.0.0.0/8` or `fd00::/8`, or one address. Raises ValueError."""
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"not a network: {error}; allowed: {cls.forms}") from None
        return cls(network.network_address.packed, network.prefixlen)

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{ipaddress.ip_address(self.packed)}/{self.prefix}"


def shown(value: Scalar) -> str:
    """`value` as an error message quotes it: as YAML would spell it, on one line, cut when long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}…"


def _is_ip(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True
