"""From a request's bytes to typed values, or to a 422 that names every field that is wrong.

A good body is read once, by msgspec into its struct. Only when that fails is it read again, to find all that is wrong:
msgspec stops at the first.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_type_hints

import msgspec
from flask import request
from msgspec import UNSET, Meta, UnsetType

from hotpath.chat.config import GATEWAY_ID
from hotpath.chat.store.members import Role

from .problems import Refusal, invalid

MAX_ID = 2**63 - 1
MAX_MEMBERS = 1000          # named in one request
MAX_DM_MEMBERS = 16

# Neither line ends nor what steers a terminal: C0, DEL, C1, and Unicode's two line ends.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"

# `\Z`: `$` would let a line end pass. Each description is what an error says is allowed.
Id = Annotated[int, Meta(ge=1, le=MAX_ID, description="an id is allowed: an integer from 1")]
Seq = Annotated[int, Meta(ge=0, le=MAX_ID, description="an integer from 0 is allowed")]
_USER_NAME = r"\A[a-z0-9][a-z0-9._-]{1,31}\Z"
UserName = Annotated[str, Meta(
    pattern=_USER_NAME,
    description="2 to 32 of a-z, 0-9, '.', '_', '-' are allowed, a letter or digit first")]
Password = Annotated[str, Meta(
    min_length=8, max_length=256, pattern=r"\A[^\x00]*\Z", description="8 to 256 characters are allowed, no NUL")]
# A name or a password that is only compared may be as short as it was typed.
Compared = Annotated[str, Meta(
    max_length=256, pattern=r"\A[^\x00]*\Z", description="up to 256 characters are allowed, no NUL")]
Display = Annotated[str, Meta(
    min_length=1, max_length=80, pattern=rf"\A(?=.*\S)[^{_CONTROLS}]*\Z",
    description="1 to 80 characters are allowed, not all white space, no line end, no control character")]
ChannelName = Annotated[str, Meta(
    min_length=1, max_length=80, pattern=rf"\A(?!\s)[^{_CONTROLS}]*(?<!\s)\Z",
    description="1 to 80 characters are allowed, no white space around them, no line end, no control character")]
Topic = Annotated[str, Meta(
    max_length=250, pattern=rf"\A[^{_CONTROLS}]*\Z",
    description="up to 250 characters are allowed, no line end, no control character")]
ClientMessageId = Annotated[str, Meta(
    pattern=r"\A[A-Za-z0-9_-]{1,64}\Z", description="1 to 64 of A-Z, a-z, 0-9, '_', '-' are allowed")]
Text = Annotated[str, Meta(pattern=r"\A[^\x00]*\Z", description="text without NUL is allowed")]
GatewayId = Annotated[str, Meta(
    pattern=GATEWAY_ID.removesuffix("$") + r"\Z", description="a gateway's id is allowed")]
Members = Annotated[tuple[Id, ...], Meta(
    max_length=MAX_MEMBERS, description=f"up to {MAX_MEMBERS} ids are allowed")]
DmMembers = Annotated[tuple[Id, ...], Meta(
    min_length=1, max_length=MAX_DM_MEMBERS, description=f"1 to {MAX_DM_MEMBERS} ids are allowed")]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may say: one JSON object, with these members and no others."""


class NewUser(Body, frozen=True):
    """POST /api/users."""

    name: UserName
    password: Password
    display: Display | None = None


class Login(Body, frozen=True):
    """POST /api/login."""

    name: Compared
    password: Compared


class UserChange(Body, frozen=True):
    """PATCH /api/users/ID."""

    display: Display | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    old_password: Compared | UnsetType = UNSET


class NewChannel(Body, frozen=True):
    """POST /api/channels, of one with a name."""

    name: ChannelName
    kind: Literal["public", "private"]
    topic: Topic = ""
    members: Members = ()


class NewDm(Body, frozen=True):
    """POST /api/channels, of one that is its members."""

    kind: Literal["dm"]
    members: DmMembers


class ChannelChange(Body, frozen=True):
    """PATCH /api/channels/C."""

    name: ChannelName | UnsetType = UNSET
    topic: Topic | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class Membership(Body, frozen=True):
    """PUT /api/channels/C/members/U."""

    role: Role | UnsetType = UNSET


class NewMessage(Body, frozen=True):
    """POST /api/channels/C/messages."""

    client_msg_id: ClientMessageId
    text: Text
    root: Id | None = None


class MessageChange(Body, frozen=True):
    """PATCH /api/messages/M."""

    text: Text


class ReadMarker(Body, frozen=True):
    """PUT /api/channels/C/read."""

    seq: Seq
    back: bool = False


class Connect(Body, frozen=True):
    """POST /api/connect."""

    exclude: Annotated[tuple[GatewayId, ...], Meta(max_length=64, description="up to 64 ids are allowed")] = ()


B = TypeVar("B", bound=Body)


class _Kind(msgspec.Struct):
    kind: object = None


def body(kind: type[B], *, optional: bool = False) -> B:
    """The present request's body as `kind`. Raises Refusal: 415, 400 or 422. `optional`: nothing means {}."""
    raw: bytes = request.environ["hotpath.body"]
    if optional and not raw:
        return msgspec.convert({}, kind)
    _check_type()
    return decode(kind, raw)


def channel_body() -> NewChannel | NewDm:
    """The body of POST /api/channels: `kind` says which. Raises Refusal."""
    raw: bytes = request.environ["hotpath.body"]
    _check_type()
    try:
        said = msgspec.json.decode(raw, type=_Kind).kind
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    return decode(NewDm, raw) if said == "dm" else decode(NewChannel, raw, more={"kind": "public, private or dm"})


def decode(kind: type[B], raw: bytes, *, more: Mapping[str, str] | None = None) -> B:
    """`raw` as `kind`. Raises Refusal 400 or 422. `more`: what is allowed, by field, beyond what its type says."""
    try:
        value: B = _decoder(kind).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _blame(kind, _reread(raw), more or {})
    return value


def is_name(text: str) -> bool:
    """Whether an account may have this name."""
    return re.search(_USER_NAME, text) is not None


def check_text(text: str, limit: int) -> None:
    """Whether a message may say that. Raises Refusal 422."""
    if not 1 <= len(text) <= limit:
        raise invalid(("text", f"{len(text)} characters; 1 to {limit} are allowed"))
    if text.isspace():
        raise invalid(("text", "nothing but white space; a message says something"))


@cache
def _decoder(kind: type[Body]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _check_type() -> None:
    said = request.environ.get("CONTENT_TYPE", "")
    # A form or plain text is what another site's page may send without being asked first.
    if str(said).partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "a body is JSON: send Content-Type: application/json")


def _reread(raw: bytes) -> object:
    """Any JSON. Raises Refusal 400."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise Refusal(400, "the body is no UTF-8") from None
    except msgspec.DecodeError as error:
        try:
            # A lone surrogate and a number of any size are JSON (RFC 8259 sections 6 and 8.2): which field has it?
            return json.loads(raw.decode(), parse_constant=_no_constant, parse_int=_integer)
        except (ValueError, RecursionError):
            raise Refusal(400, f"the body is no JSON: {error}") from None


def _integer(digits: str) -> int | float:
    # Longer ones Python refuses to read at all; they fit no field anyway.
    return int(digits) if len(digits) < 100 else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _blame(kind: type[Body], found: object, more: Mapping[str, str]) -> NoReturn:
    if not isinstance(found, dict):
        raise invalid(("", "the body must be a JSON object"))
    errors = list(_errors(kind, found, more))
    if not errors:
        raise Refusal(400, "the body is no JSON")
    raise invalid(*errors)


def _errors(kind: type[Body], found: dict[str, object], more: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    allowed = _allowed(kind)
    for name, field in fields.items():
        if name not in found:
            if field.required:
                yield name, "required"
            continue
        value = found[name]
        if _has_surrogate(value):
            yield name, "a lone surrogate is no text"
            continue
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            what, _, place = str(error).partition(" - at ")
            hint = f"{more[name]} is allowed" if name in more else allowed.get(name)
            where = f" (at {place.strip('`').removeprefix('$')})" if place else ""
            yield name, f"{hint or what.replace('`', '')}{where}"
    for name in found:
        if name not in fields:
            # Cut, and without what no encoder lets out again.
            yield name[:64].encode(errors="replace").decode(), "unknown"


@cache
def _allowed(kind: type[Body]) -> dict[str, str]:
    """What each field's type says in words."""
    described = {name: _description(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    return {name: text for name, text in described.items() if text is not None}


def _description(hint: object) -> str | None:
    for part in getattr(hint, "__metadata__", ()):
        if isinstance(part, Meta) and part.description is not None:
            return part.description
    for part in get_args(hint):
        text = _description(part)
        if text is not None:
            return text
    return None


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, list):
        return any(map(_has_surrogate, value))
    return False
