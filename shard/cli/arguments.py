"""What each flag of the commands may say: types for argparse, which name what is allowed."""
from __future__ import annotations

import argparse
import math
import re

from hotpath.core.scalars import read_duration
from hotpath.shard.config import META_NAME, SHARD_NAME, read_rows_rate
from hotpath.shard.endpoint import Endpoint


def shard_name(text: str) -> str:
    """The name of a shard."""
    if re.fullmatch(SHARD_NAME, text) is None or text == META_NAME:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shard's name; allowed: 1 to 31 of a-z, 0-9 and -, a letter first, and not {META_NAME}")
    return text


def weight(text: str) -> float:
    """How many points on the ring, as a multiple of the usual."""
    found = number(text)
    if not 0 < found <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no weight; allowed: a number above 0, up to 1000")
    return found


def rate(text: str) -> float:
    """Rows per second."""
    try:
        return read_rows_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def dsn(text: str) -> str:
    """A database that is there already. What is refused is not repeated: it may hold a password."""
    try:
        Endpoint.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def duration(text: str) -> float:
    """Seconds."""
    try:
        seconds = read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: from 1ms")
    return seconds


def threads(text: str) -> int:
    """How many at once."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: 1 to 1000")
    return int(text)


def seconds(text: str) -> float:
    """How long a measure may take."""
    found = number(text)
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed: seconds, above 0, up to 3600")
    return found


def number(text: str) -> float:
    """A finite number; not a number for what is none."""
    try:
        found = float(text)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan
