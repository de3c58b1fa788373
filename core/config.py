"""From a YAML file to frozen typed objects: `load(path, Model)`, and back: `dump(model)`.

A model is a tree of `Section` structs. Its annotations say what is allowed; what they cannot say stands in `check()`.
The text is YAML 1.2 (core schema): only `true` and `false` are booleans, `22:22` and `010` are what they look like.
Any scalar may hold `${NAME}` or `${NAME:-default}` from the environment; `$${` is a literal `${`.

Every mistake is a `ConfigError` that names the file, the line, the path of the key, and what is allowed. The first one
is reported.
"""
from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple, NoReturn, Protocol, Self, TypeVar, cast

import msgspec
from msgspec import inspect

from .errors import ConfigError
from .scalars import Address, Duration, Network, Rate, Scalar, Size, Spelling, shown, spelled
from .yamltext import MAX_BYTES, Entries, Items, Leaf, Node, PathTo, Plain, dotted, node_of, parse, put, unparse

__all__ = [
    "NO_FLAGS", "OFF", "ONE_OR_MANY", "Address", "ConfigError", "Duration", "Flag", "Network", "Problem", "Rate",
    "Scalar", "Section", "Size", "allowed", "blame", "dotted", "dump", "load", "loads", "plain", "plain_of", "shown",
    "spelled", "unmarked",
]

# Marks for annotations. One item may stand where a list is asked for: `Annotated[tuple[T, ...], ONE_OR_MANY]`.
ONE_OR_MANY = msgspec.Meta(extra={"one_or_many": True})
# The word `off` stands for None: `Annotated[T | None, OFF]`.
OFF = msgspec.Meta(extra={"off": True})

# The largest finite float; an int may be larger, and then it is no number for us.
MAX_FLOAT = sys.float_info.max

# What errors name when there is no file: a key that must be given was not.
COMMAND_LINE = "command line"

T = TypeVar("T", bound="Section")


class Parsed(Protocol):
    """A class whose values are spelled as one scalar, and written back by `str()`."""

    forms: ClassVar[str]    # what is allowed, in words

    @classmethod
    def parse(cls, text: str) -> Self:
        """The value that `text` spells. Raises ValueError: what is wrong, what is allowed."""
        ...


class Problem(NamedTuple):
    """What a `check()` found: where, from its own section down (`("servers", 0, "address")`), and what is allowed."""

    path: PathTo
    message: str


class Flag(NamedTuple):
    """What the command line says for a key: it stands in place of what the file says.

    The key is a dotted path: `listen`, `redis.url`.
    """

    name: str       # as it is typed, for errors: --peer
    value: Plain


NO_FLAGS: Mapping[str, Flag] = MappingProxyType({})


class Section(msgspec.Struct, frozen=True):
    """One mapping of a config file; subclasses say `frozen=True` too.

    Fields may be bool, int, float, str, Literal, another Section, a class like `Parsed`, `tuple[T, ...]`,
    `Mapping[str, T]`, each of these or None, and unions of the first five and a list. `msgspec.Meta` bounds numbers
    and lengths and gives patterns.
    """

    # The field that a bare scalar gives, where the mapping has a short form: `listen: ADDR`.
    short: ClassVar[str] = ""

    def check(self) -> Iterator[Problem]:
        """What the types cannot say; asked once the section and all below it are built."""
        return iter(())


def load(path: str | Path | None, model: type[T], flags: Mapping[str, Flag] = NO_FLAGS) -> T:
    """The config file at `path` (None: an empty one) as a `model`, `flags` by key in place of its values.

    Raises ConfigError, whatever the file holds; it names the flag that is to blame.
    """
    file = COMMAND_LINE if path is None else str(path)
    return loads("" if path is None else _text_of(path), model, file=file, flags=flags)


def blame(
    path: str | Path, model: type[Section], at: PathTo, message: str, flags: Mapping[str, Flag] = NO_FLAGS
) -> ConfigError:
    """The error of a well-formed value that cannot be used after all: a port that is taken, a log in a missing folder.

    `at` is the model's path to it. The file is read again to find the line; what was given by a flag has none.
    """
    building = _Building(str(path), flags)
    try:
        building.root(_text_of(path), model)
    except ConfigError:
        return ConfigError(str(path), 0, dotted(at), message)
    return building.error(building.place_of(at), message)


def loads(text: str, model: type[T], *, file: str = "<text>", flags: Mapping[str, Flag] = NO_FLAGS) -> T:
    """As `load`, from text; `file` is what errors name."""
    return cast(T, _Building(file, flags).root(text, model))


def dump(section: Section) -> str:
    """The YAML text of a config with every default spelled out; `loads` reads it back as an equal one."""
    return unparse(plain(section))


def plain(section: Section) -> Plain:
    """What `dump` spells, as mappings, lists and scalars: a config for whoever reads JSON."""
    return plain_of(section, _type_of(type(section)))


def _text_of(path: str | Path) -> str:
    """The text of the file at `path`. Raises ConfigError."""
    file = str(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(file, 0, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(file, 0, "", f"too large; allowed: {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(file, data.count(b"\n", 0, error.start) + 1, "", "not UTF-8 text") from None


def _type_of(model: type[Section]) -> inspect.Type:
    return inspect.type_info(model)


class _Place(NamedTuple):
    """Where a value stands: its path as the file spells it, and its line."""

    path: PathTo
    line: int


class _Building:
    """Builds values from nodes by their types, noting where each one stands for the checks that come after."""

    def __init__(self, file: str, flags: Mapping[str, Flag]) -> None:
        self.file = file
        self.flags = flags
        # By the path as the model has it. A short form adds steps that the file does not spell.
        self.places: dict[PathTo, _Place] = {}

    def root(self, text: str, model: type[Section]) -> object:
        """The whole: the text's values, or those of the flags."""
        node = parse(text, self.file)
        for key, flag in self.flags.items():
            node = put(node, key.split("."), node_of(flag.value))
        return self.value(node, _type_of(model), ())

    def value(self, node: Node, kind: inspect.Type, path: PathTo, place: _Place | None = None) -> object:
        """The value of `kind` that `node` spells. `path` is the model's, `place` the file's (same unless shortened)."""
        place = place or _Place(path, node.line)
        self.places[path] = place
        kind, marks = unmarked(kind)
        if marks.get("one_or_many") and not isinstance(node, Items):
            assert isinstance(kind, inspect.VarTupleType)
            return (self.value(node, kind.item_type, (*path, 0), place),)
        if marks.get("off") and isinstance(node, Leaf) and node.value == "off":
            return None
        if isinstance(kind, inspect.UnionType):
            return self.union(node, kind, path, place)
        if isinstance(kind, inspect.StructType):
            return self.section(node, kind, path, place)
        if isinstance(kind, inspect.VarTupleType):
            return self.items(node, kind, path, place)
        if isinstance(kind, inspect.DictType):
            return self.entries(node, kind, path, place)
        if not isinstance(node, Leaf):
            self.fail(place, f"{_shown(node)} is not allowed; allowed: {allowed(kind)}")
        return self.scalar(node.value, kind, marks, place)

    def section(self, node: Node, kind: inspect.StructType, path: PathTo, place: _Place) -> Section:
        model = cast(type[Section], kind.cls)
        fields = {field.encode_name: field for field in kind.fields}
        given: dict[str, object] = {}
        if model.short and not isinstance(node, Entries):
            given[model.short] = self.value(node, fields[model.short].type, (*path, model.short), place)
        else:
            for key, (line, below) in self.mapping(node, kind, place).items():
                there = _Place((*place.path, key), below.line if isinstance(below, Leaf) else line)
                if key not in fields:
                    near = difflib.get_close_matches(key, fields, 1)
                    hint = f" (did you mean {near[0]}?)" if near else ""
                    self.fail(there._replace(line=line), f"unknown key{hint}; allowed: {', '.join(fields)}")
                given[fields[key].name] = self.value(below, fields[key].type, (*path, key), there)
        for name, field in fields.items():
            if field.required and field.name not in given:
                self.fail(place, f"{name} is missing; allowed: {allowed(field.type)}")
        section = model(**given)
        for problem in section.check():
            self.fail(self.place_of((*path, *problem.path)), problem.message)
        return section

    def items(self, node: Node, kind: inspect.VarTupleType, path: PathTo, place: _Place) -> tuple[object, ...]:
        if isinstance(node, Leaf) and node.value is None:
            node = Items(node.line, ())         # `routes:` with nothing below it
        if not isinstance(node, Items):
            self.fail(place, f"{_shown(node)} is not allowed; allowed: {allowed(kind)}")
        self.check_length(len(node.items), kind, place)
        return tuple(
            self.value(item, kind.item_type, (*path, i), _Place((*place.path, i), item.line))
            for i, item in enumerate(node.items)
        )

    def entries(self, node: Node, kind: inspect.DictType, path: PathTo, place: _Place) -> dict[object, object]:
        entries: dict[object, object] = {}
        for key, (line, below) in self.mapping(node, kind, place).items():
            there = _Place((*place.path, key), below.line if isinstance(below, Leaf) else line)
            name = self.value(Leaf(line, key), kind.key_type, (*path, key), there._replace(line=line))
            entries[name] = self.value(below, kind.value_type, (*path, key), there)
        self.check_length(len(entries), kind, place)
        return entries

    def mapping(self, node: Node, kind: inspect.Type, place: _Place) -> Mapping[str, tuple[int, Node]]:
        if isinstance(node, Leaf) and node.value is None:
            return {}                           # `limits:` with nothing below it
        if not isinstance(node, Entries):
            self.fail(place, f"{_shown(node)} is not allowed; allowed: {allowed(kind)}")
        return node.entries

    def check_length(self, n: int, kind: inspect.VarTupleType | inspect.DictType, place: _Place) -> None:
        if n < (kind.min_length or 0) or (kind.max_length is not None and n > kind.max_length):
            self.fail(place, f"{n} entries; allowed:{_range(kind.min_length or 0, kind.max_length)}")

    def union(self, node: Node, kind: inspect.UnionType, path: PathTo, place: _Place) -> object:
        others = [other for other in kind.types if not isinstance(other, inspect.NoneType)]
        if len(others) < len(kind.types) and isinstance(node, Leaf) and node.value is None:
            return None
        if len(others) == 1:
            return self.value(node, others[0], path, place)
        for other in others:
            if _takes(other, node):
                return self.value(node, other, path, place)
        self.fail(place, f"{_shown(node)} is not allowed; allowed: {allowed(kind)}")

    def scalar(self, value: Scalar, kind: inspect.Type, marks: Mapping[str, object], place: _Place) -> object:
        spelling = marks.get("spelling")
        try:
            if isinstance(spelling, Spelling):
                read = spelling.read(value)
                if isinstance(kind, inspect.IntType | inspect.FloatType) and not _within(cast(float, read), kind):
                    raise ValueError(f"{shown(value)} is out of range; allowed: {allowed(kind)}")
                return read
            if isinstance(kind, inspect.DataclassType | inspect.CustomType):
                return cast(type[Parsed], kind.cls).parse(value if isinstance(value, str) else shown(value))
        except ValueError as error:
            self.fail(place, str(error))
        if not _takes(kind, Leaf(place.line, value)):
            unquoted = isinstance(kind, inspect.StrType) and not isinstance(value, str)
            hint = f' (in quotes it is text: "{shown(value)}")' if unquoted else ""
            self.fail(place, f"{shown(value)} is not allowed; allowed: {allowed(kind)}{hint}")
        return float(cast(float, value)) if isinstance(kind, inspect.FloatType) else value

    def place_of(self, path: PathTo) -> _Place:
        """Where the value at `path` stands; for one that the file does not spell, the nearest above it that it does."""
        steps = next(n for n in range(len(path), -1, -1) if path[:n] in self.places)
        place = self.places[path[:steps]]
        return place._replace(path=(*place.path, *path[steps:]))

    def fail(self, place: _Place, message: str) -> NoReturn:
        raise self.error(place, message)

    def error(self, place: _Place, message: str) -> ConfigError:
        """What is wrong at `place`, and whether the file or which flag is to blame."""
        for n in range(len(place.path), 0, -1):
            flag = self.flags.get(dotted(place.path[:n]))
            if flag is not None:
                return ConfigError(flag.name, 0, dotted(place.path[n:]), message)
        line = 0 if self.file == COMMAND_LINE else place.line
        return ConfigError(self.file, line, dotted(place.path), message)


def unmarked(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, object]]:
    """`kind` without its annotations, and what our marks say about it."""
    marks: dict[str, object] = {}
    while isinstance(kind, inspect.Metadata):
        marks.update(kind.extra or {})
        kind = kind.type
    return kind, marks


def _takes(kind: inspect.Type, node: Node) -> bool:
    """Whether `kind`, a list or a type of plain scalars, takes what `node` holds."""
    if not isinstance(node, Leaf):
        return isinstance(kind, inspect.VarTupleType) and isinstance(node, Items)
    value = node.value
    if isinstance(kind, inspect.LiteralType):
        return any(value == one and type(value) is type(one) for one in kind.values)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.StrType):
        return (
            isinstance(value, str)
            and (kind.min_length or 0) <= len(value) <= (len(value) if kind.max_length is None else kind.max_length)
            and (kind.pattern is None or re.search(kind.pattern, value) is not None)
        )
    if isinstance(kind, inspect.IntType):
        return type(value) is int and _within(value, kind)
    if isinstance(kind, inspect.FloatType):
        return type(value) in (int, float) and -MAX_FLOAT <= cast(float, value) <= MAX_FLOAT and _within(value, kind)
    return False


def _within(value: Scalar, kind: inspect.IntType | inspect.FloatType) -> bool:
    number = cast(float, value)
    return (
        (kind.ge is None or number >= kind.ge) and (kind.gt is None or number > kind.gt)
        and (kind.le is None or number <= kind.le) and (kind.lt is None or number < kind.lt)
    )


def allowed(kind: inspect.Type) -> str:
    """What a value of `kind` may be, in words."""
    kind, _ = unmarked(kind)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(allowed(other) for other in kind.types)
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(str(one) for one in kind.values)
    if isinstance(kind, inspect.StructType):
        return f"a mapping with {', '.join(field.encode_name for field in kind.fields)}"
    if isinstance(kind, inspect.DataclassType | inspect.CustomType):
        return cast(type[Parsed], kind.cls).forms
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        above = "" if kind.gt is None else f" above {kind.gt}"
        below = "" if kind.lt is None else f" below {kind.lt}"
        return f"a {'whole ' * isinstance(kind, inspect.IntType)}number{_range(kind.ge, kind.le)}{above}{below}"
    if isinstance(kind, inspect.StrType):
        length = _range(kind.min_length, kind.max_length)
        return "text" + (f", its length{length}" if length else "") + (f" like {kind.pattern}" if kind.pattern else "")
    words: dict[type[inspect.Type], str] = {
        inspect.BoolType: "true or false", inspect.NoneType: "null",
        inspect.VarTupleType: "a list", inspect.DictType: "a mapping",
    }
    return words[type(kind)]


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" from {low} up"
    return "" if high is None else f" up to {high}"


def _shown(node: Node) -> str:
    """What stands there instead, for an error message."""
    if isinstance(node, Leaf):
        return shown(node.value)
    return "a list" if isinstance(node, Items) else "a mapping"


def plain_of(value: object, kind: inspect.Type) -> Plain:
    """`value` as YAML spells it."""
    kind, marks = unmarked(kind)
    spelling = marks.get("spelling")
    if value is None:
        return "off" if marks.get("off") else None
    if isinstance(kind, inspect.UnionType):
        others = [other for other in kind.types if not isinstance(other, inspect.NoneType)]
        return plain_of(value, others[0]) if len(others) == 1 else cast(Scalar, value)
    if isinstance(value, Section):
        fields = cast(inspect.StructType, _type_of(type(value))).fields
        return {field.encode_name: plain_of(getattr(value, field.name), field.type) for field in fields}
    if isinstance(kind, inspect.VarTupleType):
        return [plain_of(item, kind.item_type) for item in cast(tuple[object, ...], value)]
    if isinstance(kind, inspect.DictType):
        entries = cast(Mapping[str, object], value)
        return {str(name): plain_of(below, kind.value_type) for name, below in entries.items()}
    if isinstance(kind, inspect.DataclassType | inspect.CustomType):
        return str(value)
    if isinstance(spelling, Spelling) and spelling.write is not None:
        return spelling.write(cast(float, value))
    return cast(Scalar, value)
